//! Which vendor the proof of a thought belongs to. A model takes proofs of its own vendor only and answers any other with an error,
//! and all that clients keep of a thought is its text and its proof. So the vendor's name stands in front of the proof, as in
//! `gemini:CiQB...`: base64 has no colon. Claude's proofs have no name in front, so that they are the same here as at Anthropic, on
//! Bedrock and on Vertex AI, which take each other's.

/// The vendor of a proof without a name.
const UNNAMED: &str = "claude";

/// What stands in the place of a proof that there is none of, for clients that throw away a thought without one, or take it for
/// text.
pub(crate) const NONE: &str = "none:";

/// The proof with its vendor's name, which it keeps where it has one.
pub(crate) fn named(vendor: &str, proof: &str) -> String {
    if proof.contains(':') { proof.to_owned() } else { format!("{vendor}:{proof}") }
}

/// The vendor of a proof, and the proof as that vendor wrote it.
pub(crate) fn vendor_of(proof: &str) -> (&str, &str) {
    proof.split_once(':').unwrap_or((UNNAMED, proof))
}
