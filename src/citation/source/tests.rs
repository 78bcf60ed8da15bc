use serde_json::json;

use crate::citation::{Sources, Status, VERBATIM};
use crate::passage::testing::passage;

/// The verdict on a quote of one source.
fn verdict(source: &str, quote: &str) -> (Status, f32) {
    let citation = &Sources::new(&[passage("a", source, 1.0)], "").check_value(&json!({"quote": quote, "source": 1}))[0];
    (citation.status, citation.score)
}

#[test]
fn a_quote_that_changes_a_meaning_is_none() {
    for (source, quoted) in [
        ("You can't delete the index file while it is mapped.", "You can delete the index file while it is mapped"),
        ("You can't delete the index file while it is mapped.", "You can"),
        ("Never delete the backup before it was tested.", "Delete the backup before it was tested."),
        ("Not all plans include support.", "All plans include support"),
        ("It is not true that data leaves the EU.", "Data leaves the EU"),
        ("The index must not\nbe copied while it is open.", "be copied while it is open"),
        ("Die Daten werden nicht\nDritten in den USA gezeigt.", "Dritten in den USA gezeigt"),
        ("There is no encryption of the data at rest.", "encryption of the data at rest"),
        ("Los datos no se cifran en reposo.", "se cifran en reposo"),
        ("Not only administrators may read it.", "only administrators may read it"),
        ("Die Daten werden nicht in die USA übertragen.", "in die USA übertragen"),
        ("The backup is kept. Never share keys with anyone else.", "The backup is kept … share keys with anyone else"),
        ("Set the value of a[first][second] to nothing.", "Set the value of a[first] to nothing"),
        ("The backup cannot be restored by the operators at night.", "The backup can be restored by the operators at night"),
        ("It may fall to -5 degrees during the night in here.", "It may fall to 5 degrees during the night in here"),
        ("It may fall to −5 degrees.", "5 degrees"),
        ("A loss of -$5 for each of the requests is normal here.", "A loss of $5 for each of the requests is normal here"),
        (
            "A body must be < 6 MiB when it is sent without compression.",
            "A body must be > 6 MiB when it is sent without compression",
        ),
        (
            "A body must be\n> 6 MiB when it is sent without compression.",
            "A body must be 6 MiB when it is sent without compression",
        ),
        (
            "A body must be ≤ 6 MiB when it is sent without compression.",
            "A body must be >= 6 MiB when it is sent without compression",
        ),
        ("It costs 5 € for every month in which it is used.", "It costs 5 $ for every month in which it is used"),
        ("It grew by 5 % in every month in which it was used.", "It grew by 5 in every month in which it was used"),
        ("A restart takes 1.5 seconds on two cores of the machine.", "A restart takes 15 seconds on two cores of the machine"),
        ("A restart takes 1.5 seconds on two cores.", "A restart takes 1"),
        ("There are 10² of them in every one of the files here.", "There are 102 of them in every one of the files here"),
        ("There are 2*3 of them in every one of the files here.", "There are 23 of them in every one of the files here"),
        ("A restart takes 1-5 seconds on two cores of the machine.", "A restart takes 15 seconds on two cores of the machine"),
        (
            "Operators may restore any copy with one command in half an hour.",
            "Operators must restore any copy with one command in half an hour",
        ),
        (
            "The backup of the knowledge base runs every night at three and keeps all.",
            "The backup of the knowledge base fails every night at three and keeps all",
        ),
        (
            "Es gibt eine Sicherung der Daten in jeder Nacht um drei Uhr.",
            "Es gibt keine Sicherung der Daten in jeder Nacht um drei Uhr",
        ),
        (
            "These settings are recommended by the vendor for all of the small servers.",
            "These settings are recommended by no vendor for all of the small servers",
        ),
        ("Call `Vec<String>` by its own name here.", "Call Vec<u8> by its own name here"),
        ("It is small if a <b and c> 5 in all of them.", "It is small if a b and c> 5 in all of them"),
        ("Backups are kept. Old ones are deleted. Files may be restored.", "Backups ... deleted ... Files"),
        ("索引是一个文件，服务启动时打开它，不会复制它。", "索引是一个文件，服务启动时不打开它，不会复制它"),
    ] {
        let (status, score) = verdict(source, quoted);
        assert_eq!(status, Status::NotFound, "{quoted}: {score}");
        assert!(score < VERBATIM, "{quoted}: {score}");
    }
}

#[test]
fn a_quote_in_other_typography_is_the_same() {
    for (source, quoted) in [
        (
            "The index — one memory-mapped file — is opened once at the start.",
            "The index—one memory-mapped file—is opened once at the start",
        ),
        ("The index — one memory-mapped file — is opened once.", "one memory mapped file – is opened once"),
        ("One memory-\nmapped file is opened once.", "One memory-mapped file is opened"),
        ("Send an e-mail to the operators of it.", "Send an email to the operators"),
        ("You can't delete the file while it is open.", "You cannot delete the file while it is open"),
        ("It won’t be deleted while it's open.", "It will not be deleted while it's open"),
        ("It keeps 1,500 copies of 1.5 GiB.", "It keeps 1500 copies of 1,5 GiB"),
        ("It keeps −5 copies of ½ GiB.", "It keeps -5 copies of 1/2 GiB"),
        ("A body must be ≤ 6 MiB.", "A body must be <= 6 MiB"),
        ("> A body must be small.\n> It is **refused** with 413.", "A body must be small. It is refused with 413"),
        ("See [the guide](https://example.org/a/b) for more of this.", "See the guide for more of this"),
        ("See [the guide](https://example.org/a \"A guide\") for more of this.", "See the guide for more of this"),
        ("See <https://example.org/docs> for the whole list.", "See https://example.org/docs for the whole list"),
        (
            "Restart it with one command.<br/>It then reads <b>all</b> again.",
            "Restart it with one command. It then reads all again",
        ),
        ("Call `Vec<String>` by its <a href=\"x\">own name</a> here.", "Call Vec<String> by its own name here"),
        ("See [the guide][guide] and [another][2] for more of this.", "See the guide and another for more of this"),
        ("Is it on? No. Delete the backup before the restore.", "Delete the backup before the restore"),
        ("- Refundable: no\n- The largest request body is 6 MiB.", "The largest request body is 6 MiB"),
        ("Whether it is on or not\n2. The backup runs at night.", "The backup runs at night"),
        ("Is it free? No — the service costs five dollars.", "the service costs five dollars"),
        ("Is it free? No - the service costs five dollars.", "the service costs five dollars"),
        ("Peru,no\nChile tickets are refundable on request.", "Chile tickets are refundable on request"),
        ("Os dados ficam no centro de dados europeu.", "centro de dados europeu"),
        ("Never delete it now. You may delete it now.", "delete it now"),
        ("تُحفظ الملفات لمدة ٣٠ يومًا ثم تحذف.", "تحفظ الملفات لمدة ٣٠ يوما ثم تحذف"),
        ("Set `max\\_tokens` to more than that.", "Set max_tokens to more than that"),
        ("索引是一个文件，服务启动时打开它，不会复制它。", "一个文件，服务启动时打开它，不会复制它"),
        // Words that may slip, and a typing error.
        (
            "The service opens the index once at the start and it never copies any of its bytes.",
            "The service opens index once at the start and it never copies any of its bytes",
        ),
        (
            "The operators receive a notification when the nightly backup of the index has come to an end.",
            "The operators recieve a notification when the nightly backup of the index has come to an end",
        ),
    ] {
        let (status, score) = verdict(source, quoted);
        assert!(status == Status::Verified && score >= VERBATIM, "{quoted}: {status:?} {score}");
    }
}

#[test]
fn words_that_differ_by_a_typing_error_are_long() {
    let around = |word: &str| format!("one two three four five six seven eight nine ten {word} twelve thirteen");
    let misspelt = |word: &str, other: &str| verdict(&around(word), &around(other)).0 == Status::Verified;
    assert!(misspelt("receive", "recieve") && misspelt("behaviour", "behavior") && misspelt("accommodate", "acommodate"));
    for (word, other) in [
        ("legal", "illegal"),
        ("enabled", "unable"),
        ("casual", "causal"),
        ("encrypted", "decrypted"),
        ("version1", "version2"),
        ("typical", "atypical"),
    ] {
        assert!(!misspelt(word, other), "{word} {other}");
    }
}

#[test]
fn what_an_ellipsis_leaves_out_is_short() {
    let source =
        "The backup runs at night. It takes an hour.\n\n# Files\n\nThe index is one file.\n\nA file is restored by a command.";
    assert_eq!(verdict(source, "The backup runs ... an hour").0, Status::Verified);
    assert_eq!(verdict(source, "The backup runs ... restored by a command").0, Status::NotFound);
    assert_eq!(verdict(source, "It takes an hour ... the backup runs").0, Status::NotFound);
    let far = format!("The backup runs at night. {} It takes an hour.", "Some words between them. ".repeat(40));
    assert_eq!(verdict(&far, "The backup runs ... an hour").0, Status::NotFound);
    // Of several places that one counts behind which the rest stands.
    let again = format!("{far}\n\nThe backup runs for an hour.");
    assert_eq!(verdict(&again, "The backup runs ... an hour").0, Status::Verified);
}
