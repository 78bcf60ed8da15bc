use crate::citation::{Sources, Status, without_false};
use crate::passage::Passage;
use crate::passage::testing::passage;

fn passages() -> Vec<Passage> {
    vec![
        passage("limits.md", "The largest request body is 6 MiB. A session ends after 15 minutes.", 1.0),
        passage("rollback.md", "To undo a deployment, run the rollback command. It takes two minutes.", 0.9),
        passage("grenzen.md", "Die größte Anfrage darf 6 MiB haben. Der Vorgang dauert höchstens dreißig Sekunden.", 0.8),
        passage("制限.md", "リクエスト本文の最大サイズは6 MiBです。セッションは15分間操作がないと終了します。", 0.7),
    ]
}

fn dropped(answer: &str) -> String {
    let passages = passages();
    without_false(answer, &Sources::new(&passages, "").check(answer))
}

#[test]
fn a_number_of_another_sentence_item_or_cell_is_not_the_quotes() {
    for answer in [
        "The manual states “The largest request body is 6 MiB.” A rollback takes two minutes [2].",
        "The manual states \"The largest request body is 6 MiB!\" To undo, run the rollback command [2].",
        "\"The largest request body is 6 MiB\"\nA rollback takes two minutes [2].",
        "- \"The largest request body is 6 MiB\"\n- Run the rollback command [2]",
        "| \"The largest request body is 6 MiB\" | Undo by rollback [2] |",
        "| Undo | rollback [2] | \"The largest request body is 6 MiB\" |",
        "A rollback takes two minutes [2], while \"the largest request body is 6 MiB\" holds as well.",
        "Undo with rollback [2]; \"The largest request body is 6 MiB\" is the limit.",
        "\"The largest request body is 6 MiB\", and a rollback takes two minutes [2].",
        "A rollback takes two minutes. [2] \"The largest request body is 6 MiB.\"",
        "1. Rollback [2]\n2. \"The largest request body is 6 MiB\"",
    ] {
        let passages = passages();
        let citations = Sources::new(&passages, "").check(answer);
        let quote = citations.iter().find(|citation| citation.quote.is_some()).unwrap();
        assert_eq!((quote.status, quote.cited), (Status::Verified, None), "{answer}");
        assert_eq!(dropped(answer), answer);
    }
}

#[test]
fn a_number_of_the_same_sentence_item_or_cell_is_the_quotes() {
    for answer in [
        "“The largest request body is 6 MiB.” [2] A rollback takes two minutes [2].",
        "“The largest request body is 6 MiB” is what the manual says [2].",
        "[2] says that “the largest request body is 6 MiB”.",
        "According to [2], “the largest request body is 6 MiB”.",
        "The manual states in [2]: “the largest request body is 6 MiB”.",
        "- “The largest request body is 6 MiB” [2]\n- Run the rollback command [2]",
        "| “The largest request body is 6 MiB” | [2] | yes |",
        "| [2] | “The largest request body is 6 MiB” |",
        "> The largest request body is 6 MiB\n\n[2]",
    ] {
        let passages = passages();
        let citations = Sources::new(&passages, "").check(answer);
        assert_eq!((citations[0].status, citations[0].cited), (Status::WrongSource, Some(2)), "{answer}");
    }
}

#[test]
fn what_is_cut_is_one_sentence_in_other_languages_too() {
    for (answer, left) in [
        (
            "„Die größte Anfrage darf 60 GiB haben.“ Der Vorgang dauert höchstens dreißig Sekunden [3].",
            "Der Vorgang dauert höchstens dreißig Sekunden [3].",
        ),
        (
            "Der Vorgang dauert dreißig Sekunden [3]. »Die größte Anfrage darf 60 GiB haben.« [3] Auch dies ist richtig.",
            "Der Vorgang dauert dreißig Sekunden [3]. Auch dies ist richtig.",
        ),
        (
            "セッションは15分間操作がないと終了します。[4]「リクエスト本文の最大サイズは60 GiBです。」[4]",
            "セッションは15分間操作がないと終了します。[4]",
        ),
        (
            "「リクエスト本文の最大サイズは60 GiBです」[4]。セッションは15分間操作がないと終了します[4]。",
            "セッションは15分間操作がないと終了します[4]。",
        ),
        ("会话在15分钟后结束。“请求正文的最大大小为六十吉字节。”这句话是正确的。", "会话在15分钟后结束。这句话是正确的。"),
        (
            "सत्र बाद समाप्त होता है [1]। \"अनुरोध का अधिकतम आकार साठ गीगाबाइट है\" [1]। यह वाक्य सही है।",
            "सत्र बाद समाप्त होता है [1]। यह वाक्य सही है।",
        ),
        (
            "تنتهي الجلسة بعد خمس عشرة دقيقة [1]؟ \"الحد الأقصى لحجم الطلب هو ستون\" [1]. هذه الجملة صحيحة.",
            "تنتهي الجلسة بعد خمس عشرة دقيقة [1]؟ هذه الجملة صحيحة.",
        ),
    ] {
        assert_eq!(dropped(answer), left);
    }
}

#[test]
fn marks_inside_of_links_break_nothing() {
    for answer in
        ["[1](x“yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy)” and", "“a b c d [1](x”y) and", "[1](“a b c d”)", "<q>a b c d[1]</q"]
    {
        dropped(answer);
    }
}
