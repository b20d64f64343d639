//! What readers of plain text get.

use proptest::prelude::*;

use super::*;

fn check(html: &str, expected: &str) {
    assert_eq!(from_html(html), expected, "{html:?}");
}

#[test]
fn html_becomes_readable_text() {
    check(
        "<html><head><title>T</title><style>p{x:'<b>'}</style></head><body><h1>Hello,\n Anna</h1>\
         <p>Your parcel <b>is</b>&nbsp;here &amp; now.<br>Bye</p><!-- <p>no</p> --></body></html>",
        "Hello, Anna\n\nYour parcel is here & now.\nBye\n",
    );
    check("<ul><li>One</li><li>Two</li></ul>", "- One\n- Two\n");
    check(
        "<a href=\"https://a.example/?x=1&amp;y=2\">Track it</a>.",
        "Track it (https://a.example/?x=1&y=2).\n",
    );
    check(
        "<a href='https://a.example/'>https://a.example/</a>",
        "https://a.example/\n",
    );
    check("<img alt='A parcel' src=x>", "A parcel\n");
    check(
        "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>",
        "a b\nc\n",
    );
}

#[test]
fn broken_html_gives_some_text() {
    check("1 < 2 & 3 &unknown; &#0;", "1 < 2 & 3 &unknown; &#0;\n");
    check("<p", "");
    check("<p title=\"unclosed>x", "");
    check("<script>alert(1)", "");
    check("<!-- never closed", "");
    check("", "");
    check("<a href=https://a.example/>x</a>", "x (https://a.example/)\n");
}

#[test]
fn links_in_links_show_their_targets() {
    check(
        "<a href='a://1'>x<a href='a://2'> <a href='a://3'>&nbsp;</a> y</a> z</a>",
        "x  a://3 y (a://2) z (a://1)\n",
    );
    check("<a href='a://1'>\u{a0}<a href='a://1'>a://1</a>\u{a0}</a>", " a://1\n");
    check("</a><a href='a://1'></a></a>", "a://1\n");
}

/// What documents are made of here: links in links, blanks of every kind, and what ends badly.
const PIECES: [&str; 29] = [
    "<a href='a://1'>",
    "<a href=\"a://2 \">",
    "<a href=' \u{a0} a://3'>",
    "<a href=https://a.example/>",
    "<a href='a://&nbsp;'>",
    "<a>",
    "<a href='mailto:a'>",
    "</a>",
    "</a>",
    "</a>",
    "a://1",
    "a://2 ",
    "è",
    "x",
    "&nbsp;",
    "\u{a0}",
    "\u{2003}",
    " ",
    "\n",
    "&#160;&amp;",
    "<br>",
    "<p>",
    "</div>",
    "<li>",
    "<td>",
    "<img alt='a  b'>",
    "<!-- x -->",
    "<",
    "<script></a></script>",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn links_are_told_as_by_trimming(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..40)) {
        let html = pieces.concat();
        prop_assert_eq!(from_html(&html), reference::from_html(&html));
    }

    #[test]
    fn any_text_is_read_as_by_trimming(html in "[<>/a=\"' &;:hrefp\u{a0}-]{0,80}") {
        prop_assert_eq!(from_html(&html), reference::from_html(&html));
    }
}
