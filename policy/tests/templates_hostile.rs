//! Templates by whoever means harm: none ends the process, whatever it nests or chains.
//!
//! A stack that is used up ends the test's whole process: there is nothing to assert but to come back.

#![allow(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

use std::thread;

use policy::STACK_BYTES;
use policy::template::context::Context;
use policy::template::{
    BLOCKS_MAX, NESTING_MAX, Part, Rendered, TAG_TOKENS_MAX, Template, TemplateFault, WRAPS_MAX, check, check_vars,
};
use proptest::prelude::*;
use types::catalogue::{TemplateKind, TemplateSource};

/// What one part may come to.
const PART_BYTES: usize = 128 * 1024;

fn source(html: &str) -> TemplateSource {
    TemplateSource {
        subject: "s".to_owned(),
        html: html.to_owned(),
        text: "t".to_owned(),
    }
}

/// Works on half of the stack that production has.
fn on_half_the_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = thread::Builder::new().stack_size(STACK_BYTES / 2);
    thread.spawn(work).unwrap().join().unwrap()
}

/// Compiles, renders and drops a template by every way there is. Returns what its compilation says.
fn survives(html: &str) -> Result<(), TemplateFault> {
    let source = source(html);
    on_half_the_stack(move || {
        // What check() says of rendering is no matter here: a deep template seldom makes sense.
        let checked = check(TemplateKind::Message, &source);
        let template = match Template::compile(&source) {
            Ok(template) => template,
            Err(fault) => {
                assert_eq!(checked, Err(fault.clone()));
                return Err(fault);
            }
        };
        let _ = check_vars(&template, [("x", "a")]);
        let mut rendered = Rendered::default();
        for kind in [TemplateKind::Offer, TemplateKind::Cart, TemplateKind::Message] {
            for sample in Context::samples(kind) {
                let _ = template.render(&sample, &mut rendered);
            }
        }
        drop(template);
        Ok(())
    })
}

/// A construct that goes deeper the more often it is repeated.
type Construct = (&'static str, fn(usize) -> String);

/// Every construct of the language by which a tree grows, allowed or not.
const CONSTRUCTS: &[Construct] = &[
    ("not", |n| format!("{{{{ {}1 }}}}", "not ".repeat(n))),
    ("minus", |n| format!("{{{{ {}1 }}}}", "-".repeat(n))),
    ("plus", |n| format!("{{{{ {}1 }}}}", "+".repeat(n))),
    ("ternary", |n| format!("{{{{ {}1 }}}}", "1 if true else ".repeat(n))),
    ("ternary without else", |n| {
        format!("{{{{ 1{} }}}}", " if true".repeat(n))
    }),
    ("attribute", |n| format!("{{{{ vars{} }}}}", ".x".repeat(n))),
    ("number as attribute", |n| format!("{{{{ offers{} }}}}", ".0".repeat(n))),
    ("index", |n| format!("{{{{ vars{} }}}}", "[\"x\"]".repeat(n))),
    ("index in index", |n| {
        format!("{{{{ {}0{} }}}}", "offers[".repeat(n), "]".repeat(n))
    }),
    ("slice", |n| format!("{{{{ vars.x{} }}}}", "[0:9]".repeat(n))),
    ("list slice", |n| {
        format!("{{% for a in order.items{} %}}{{% endfor %}}", "[:]".repeat(n))
    }),
    ("slice in slice", |n| {
        format!("{{{{ vars.x{}{} }}}}", "[1:offers".repeat(n), "]".repeat(n))
    }),
    ("and", |n| format!("{{{{ {}true }}}}", "true and ".repeat(n))),
    ("or", |n| format!("{{{{ {}true }}}}", "false or ".repeat(n))),
    ("and of variables", |n| {
        format!("{{{{ {}vars.x }}}}", "vars.x and ".repeat(n))
    }),
    ("filter", |n| format!("{{{{ vars.x{} }}}}", "|upper".repeat(n))),
    ("filter name", |n| format!("{{{{ vars.x|upper{} }}}}", ".a".repeat(n))),
    ("filter argument", |n| {
        format!("{{{{ {}1{} }}}}", "vars.x|default(".repeat(n), ")".repeat(n))
    }),
    ("parentheses", |n| {
        format!("{{{{ {}1{} }}}}", "(".repeat(n), ")".repeat(n))
    }),
    ("list", |n| format!("{{{{ {}{} }}}}", "[".repeat(n), "]".repeat(n))),
    ("tuple", |n| format!("{{{{ {}{} }}}}", "(".repeat(n), ",)".repeat(n))),
    ("map", |n| {
        format!("{{{{ {}1{} }}}}", "{\"a\":".repeat(n), "}".repeat(n))
    }),
    ("compare", |n| format!("{{{{ {}1 }}}}", "1 == ".repeat(n))),
    ("less", |n| format!("{{{{ {}1 }}}}", "1 < ".repeat(n))),
    ("in", |n| format!("{{{{ {}\"a\" }}}}", "\"a\" in ".repeat(n))),
    ("not in", |n| format!("{{{{ {}\"a\" }}}}", "\"a\" not in ".repeat(n))),
    ("is", |n| format!("{{{{ 1{} }}}}", " is defined".repeat(n))),
    ("is not", |n| format!("{{{{ 1{} }}}}", " is not defined".repeat(n))),
    ("is with an argument", |n| {
        format!("{{{{ 4{} }}}}", " is divisibleby -2".repeat(n))
    }),
    ("is within is", |n| {
        format!("{{{{ 4 is divisibleby {}2 }}}}", "-".repeat(n))
    }),
    ("call", |n| format!("{{{{ track{} }}}}", "()".repeat(n))),
    ("call in call", |n| {
        format!("{{{{ {}{} }}}}", "track(".repeat(n), ")".repeat(n))
    }),
    ("named argument", |n| {
        format!("{{{{ {}1{} }}}}", "track(a=".repeat(n), ")".repeat(n))
    }),
    ("arguments", |n| format!("{{{{ track({}) }}}}", "1,".repeat(n))),
    ("method", |n| format!("{{{{ vars{} }}}}", ".x()".repeat(n))),
    ("subtraction", |n| format!("{{{{ 1{} }}}}", "-1".repeat(n))),
    ("subtraction of variables", |n| {
        format!("{{{{ order{} }}}}", "-order".repeat(n))
    }),
    ("division", |n| format!("{{{{ 1{} }}}}", "/1".repeat(n))),
    ("whole division", |n| format!("{{{{ 1{} }}}}", "//1".repeat(n))),
    ("power", |n| format!("{{{{ 1{} }}}}", "**1".repeat(n))),
    ("texts", |n| format!("{{{{ {} }}}}", "'a' ".repeat(n))),
    ("if", |n| {
        format!("{}x{}", "{% if true %}".repeat(n), "{% endif %}".repeat(n))
    }),
    ("if in else", |n| {
        format!("{}x{}", "{% if vars.x %}y{% else %}".repeat(n), "{% endif %}".repeat(n))
    }),
    ("elif", |n| {
        format!("{{% if true %}}x{}{{% endif %}}", "{% elif true %}y".repeat(n))
    }),
    ("elif and if", |n| {
        format!(
            "{}x{}",
            "{% if vars.x %}{% elif true %}".repeat(n / 2),
            "{% endif %}".repeat(n / 2)
        )
    }),
    ("elif never closed", |n| {
        format!("{{% if true %}}x{}", "{% elif true %}y".repeat(n))
    }),
    ("for", |n| {
        format!("{}x{}", "{% for a in \"a\" %}".repeat(n), "{% endfor %}".repeat(n))
    }),
    ("for in else", |n| {
        format!(
            "{}x{}",
            "{% for a in \"\" %}{% else %}".repeat(n),
            "{% endfor %}".repeat(n)
        )
    }),
    ("for of a pattern", |n| {
        format!(
            "{{% for {}a{} in order.items %}}{{% endfor %}}",
            "(".repeat(n),
            ")".repeat(n)
        )
    }),
    ("for with a condition", |n| {
        format!("{}x{}", "{% for a in \"a\" if a %}".repeat(n), "{% endfor %}".repeat(n))
    }),
    ("with", |n| {
        format!("{}x{}", "{% with a=1 %}".repeat(n), "{% endwith %}".repeat(n))
    }),
    ("with of a pattern", |n| {
        format!("{{% with {}a{}=1 %}}{{% endwith %}}", "(".repeat(n), ")".repeat(n))
    }),
    ("set", |n| format!("{}{{{{ a }}}}", "{% set a = 1 %}".repeat(n))),
    ("set of a path", |n| format!("{{% set a{} = 1 %}}", ".x".repeat(n))),
    ("set of a pattern", |n| {
        format!("{{% set {}a{} = 1 %}}", "(".repeat(n), ")".repeat(n))
    }),
    ("set as a block", |n| {
        format!("{}{}", "{% set a %}".repeat(n), "{% endset %}".repeat(n))
    }),
    ("set of a slice", |n| {
        format!(
            "{{% set a = offers %}}{}{{% for b in a %}}x{{% endfor %}}{{{{ a|last }}}}",
            "{% set a = a[:] %}".repeat(n)
        )
    }),
    ("set of a slice backwards", |n| {
        format!(
            "{{% set a = offers %}}{}{{% for b in a %}}x{{% endfor %}}{{{{ a|length }}}}",
            "{% set a = a[::-1] %}".repeat(n)
        )
    }),
    ("set of named arguments", |n| {
        format!(
            "{{% for c in \"a\" %}}{{% set a = 1 %}}{}{{{{ a == a }}}}{{{{ a }}}}{{% endfor %}}",
            "{% set a = loop.cycle(x=a) %}".repeat(n)
        )
    }),
    ("set of the loop", |n| {
        format!(
            "{}x{}",
            "{% for a in \"a\" %}{% set b = loop %}".repeat(n),
            "{% endfor %}".repeat(n)
        )
    }),
];

/// Fills a part, or as much of it as `text` asks for.
fn fitting(construct: fn(usize) -> String, bytes: usize) -> String {
    let (one, two) = (construct(100).len(), construct(102).len());
    let each = (two - one).div_ceil(2).max(1);
    construct(bytes.saturating_sub(construct(0).len()) / each)
}

/// Returns the most repetitions of a construct that compile, up to `most`.
fn deepest(construct: fn(usize) -> String, most: usize) -> usize {
    let (mut fits, mut too_deep) = (0, most + 1);
    while too_deep - fits > 1 {
        let half = usize::midpoint(fits, too_deep);
        if survives(&construct(half)).is_ok() {
            fits = half;
        } else {
            too_deep = half;
        }
    }
    fits
}

#[test]
fn no_construct_uses_up_the_stack_whatever_its_length() {
    for (name, construct) in CONSTRUCTS {
        for bytes in [2_000, 8_000, 30_000, PART_BYTES] {
            let html = fitting(*construct, bytes);
            assert!(html.len() <= PART_BYTES, "{name}: {}", html.len());
            // What neither nests nor chains may fill a part.
            let flat = ["set", "texts", "arguments"].contains(name);
            if let Err(fault) = survives(&html) {
                assert_eq!(fault.part, Part::Html, "{name}");
                assert!(fault.line.is_some() && fault.column.is_some(), "{name}: {fault}");
            } else {
                assert!(flat || bytes < 8_000, "{name} of {bytes} bytes is admitted");
            }
        }
    }
}

#[test]
fn the_deepest_that_is_admitted_runs_on_half_the_stack() {
    for (name, construct) in CONSTRUCTS {
        let most = deepest(*construct, 600);
        // Just below and at the bound, where a thread would end: each was compiled, rendered and dropped on the way.
        println!("{name}: {most}");
        assert!(most <= TAG_TOKENS_MAX || *name == "set", "{name}: {most}");
    }
}

#[test]
fn deep_things_within_deep_things_run_on_half_the_stack() {
    // Blocks to their bound, and in the innermost an expression to its bound, of each construct that is one.
    let blocks: [(&str, &str, usize); 5] = [
        ("{% if vars.x %}", "{% endif %}", BLOCKS_MAX),
        ("{% if vars.y %}{% else %}", "{% endif %}", BLOCKS_MAX),
        ("{% if vars.y %}{% elif vars.x %}", "{% endif %}", BLOCKS_MAX / 2),
        ("{% for a in \"a\" %}", "{% endfor %}", 45),
        ("{% with a=1 %}", "{% endwith %}", 45),
    ];
    for (open, close, times) in blocks {
        for (name, construct) in CONSTRUCTS {
            let most = deepest(*construct, 600);
            // The parser counts blocks and parentheses together, so half of both may be what fits.
            for (times, most) in [
                (times, most),
                (times / 2, most),
                (times, most / 2),
                (times / 2, most / 2),
            ] {
                let html = format!("{}{}{}", open.repeat(times), construct(most), close.repeat(times));
                let _ = survives(&html).map_err(|fault| assert!(fault.line.is_some(), "{name}: {fault}"));
            }
        }
    }
    // Chains within parentheses, each level as long as the tag's bound lets it be.
    let chains = [
        "not ",
        "-",
        "1-",
        "vars.x and ",
        "1 if true else ",
        "vars.x is defined and not ",
    ];
    for chain in chains {
        let tokens = TAG_TOKENS_MAX / NESTING_MAX;
        for length in 1..tokens {
            let level = format!("{}(", chain.repeat(length));
            let _ = survives(&format!(
                "{{{{ {}1{} }}}}",
                level.repeat(NESTING_MAX),
                ")".repeat(NESTING_MAX)
            ));
        }
    }
}

#[test]
fn what_goes_too_deep_is_told_with_its_place_and_the_bound() {
    let check = |before: &str, html: &str, message: &str| {
        let fault = survives(&format!("first\n{before}{html}")).unwrap_err();
        assert!(fault.message.contains(message), "{fault}");
        assert_eq!((fault.part, fault.line), (Part::Html, Some(2)), "{fault}");
        assert!(fault.column.is_some_and(|column| column > before.len()), "{fault}");
        let told = fault.to_string();
        assert!(
            told.starts_with("html line 2 column ") && told.contains(message),
            "{told}"
        );
    };
    let tag = format!("more than {TAG_TOKENS_MAX} words and signs");
    check("ab", &format!("{{{{ {}1 }}}}", "-".repeat(TAG_TOKENS_MAX)), &tag);
    check(
        "",
        &format!("{{% if {}1 %}}{{% endif %}}", "1 and ".repeat(8_000)),
        &tag,
    );
    let nested = format!("more than {NESTING_MAX} parentheses and brackets");
    check("", &format!("{{{{ {}1 }}}}", "(".repeat(NESTING_MAX + 1)), &nested);
    let blocks = format!("more than {BLOCKS_MAX} blocks");
    check("abc", &"{% if vars.x %}".repeat(BLOCKS_MAX + 1), &blocks);
    check(
        "abc",
        &format!("{{% if vars.x %}}{}", "{% elif vars.x %}".repeat(BLOCKS_MAX)),
        &blocks,
    );
    let wraps = format!("more than {WRAPS_MAX} slices");
    check("", &"{{ vars.x[0:1] }}".repeat(WRAPS_MAX + 1), &wraps);
    check(
        "",
        "{% for a in offers recursive %}{{ loop(a) }}{% endfor %}",
        "loops cannot call themselves",
    );
}

#[test]
fn what_templates_need_is_far_below_the_bounds() {
    let countries: Vec<String> = (0..60)
        .map(|number| format!("buyer.country == \"c{number}\""))
        .collect();
    let options: Vec<String> = (0..90)
        .map(|number| format!("{{% elif vars.x == \"{number}\" %}}{number}"))
        .collect();
    for html in [
        format!("{{% if {} %}}x{{% endif %}}", countries[..40].join(" or ")),
        format!("{{% if vars.x == \"a\" %}}x{}{{% endif %}}", options.concat()),
        format!("{}x{}", "{% if vars.x %}".repeat(30), "{% endif %}".repeat(30)),
        "{% if vars.x %}{{ vars.x[0:3]|upper|default(\"y\") }}{% endif %}".repeat(60),
        "{{ vars.x }}{% set recursive = vars.x %}{% for a in recursive %}{{ a }}{% endfor %}".repeat(500),
    ] {
        let outcome = Template::compile(&source(&html)).map(drop);
        assert_eq!(outcome, Ok(()), "{}", &html[..100]);
    }
}

#[test]
fn a_panic_of_the_engine_is_a_fault_of_the_template() {
    let odd = "{% if vars.x == \"b\" %}{% for a in \"ab\" %}{{ loop.cycle() }}{% endfor %}{% endif %}";
    let template = Template::compile(&source(odd)).unwrap();
    assert_eq!(check_vars(&template, [("x", "a")]), Ok(()));
    let fault = check_vars(&template, [("x", "b")]).unwrap_err();
    assert_eq!(
        (fault.part, fault.message.as_str()),
        (Part::Html, "the engine panicked")
    );
    // It goes on with what does not.
    assert_eq!(check_vars(&template, [("x", "a")]), Ok(()));
}

/// The words and signs of the language, and some that are not.
const WORDS: &[&str] = &[
    "{{ ",
    " }}",
    "{% if ",
    "{% elif ",
    "{% else %}",
    "{% endif %}",
    "{% for a in ",
    "{% endfor %}",
    "{% set a = ",
    "{% with a = ",
    "{% endwith %}",
    " %}",
    "(",
    ")",
    "[",
    "]",
    ":",
    ",",
    ".",
    "|",
    "-",
    "+",
    "*",
    "/",
    "//",
    "%",
    "~",
    "=",
    "==",
    "!=",
    "<",
    ">",
    "<=",
    " not ",
    " and ",
    " or ",
    " if ",
    " else ",
    " in ",
    " is ",
    " defined ",
    " upper",
    "|default(",
    "|last",
    "|first",
    "|join",
    "|int",
    "|round",
    "|replace(",
    "track(",
    "loop",
    "loop.cycle(",
    "loop.changed(",
    "vars",
    ".x",
    "offers",
    "order.items",
    "'a'",
    "\"b\"",
    "0",
    "1",
    "9223372036854775808",
    "170141183460469231731687303715884105728",
    "1.5",
    "true",
    "none",
    "a",
    "{{ -",
    "{#",
    "#}",
    "{% raw %}",
    "x",
    "\n",
    "à",
];

fn soup(longest: usize) -> impl Strategy<Value = String> {
    let word = prop::sample::select(WORDS);
    // A handful of words again and again goes deeper than as many words at random.
    let again =
        (prop::collection::vec(word.clone(), 1..6), 1..longest).prop_map(|(some, times)| some.concat().repeat(times));
    let parts = prop_oneof![
        prop::collection::vec(word, 1..40).prop_map(|words| words.concat()),
        again
    ];
    prop::collection::vec(parts, 1..6).prop_map(|parts| {
        let mut soup = parts.concat();
        let mut end = soup.len().min(PART_BYTES);
        while !soup.is_char_boundary(end) {
            end -= 1;
        }
        soup.truncate(end);
        soup
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_soup_of_words_uses_up_the_stack(html in soup(3_000)) {
        let _ = survives(&html);
    }
}
