//! Whose a thought's proof is. A model takes back those of its vendor only and answers any other with an error, and what clients keep
//! of a thought is its text and its proof. So the vendor's name stands in front of the proof, as in `gemini:CiQB...`: base64 has no
//! colon. Claude's have none in front, so that they are the same here as at Anthropic, on Bedrock and on Vertex AI, which take each
//! other's.

/// Whose a proof without a name is.
const UNNAMED: &str = "claude";

/// The proof with its vendor's name, which it keeps where it has one.
pub(crate) fn named(vendor: &str, proof: &str) -> String {
    if proof.contains(':') { proof.to_owned() } else { format!("{vendor}:{proof}") }
}

/// Whose a proof is, and the proof as its vendor wrote it.
pub(crate) fn vendor_of(proof: &str) -> (&str, &str) {
    proof.split_once(':').unwrap_or((UNNAMED, proof))
}
