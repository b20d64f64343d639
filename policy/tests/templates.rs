//! Templates from outside: what is refused, where the fault is said to be, and what the built-in offer shows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test states its expectations by unwrapping"
)]

use policy::template::context::{Context, OfferView, ShopView};
use policy::template::{OUTPUT_BYTES_MAX, Part, Rendered, Template, TemplateFault, Track, check, check_vars};
use types::catalogue::{Creative, TemplateKind, TemplateSource};
use types::locale::Language;
use types::order::Order;

fn source(html: &str) -> TemplateSource {
    TemplateSource {
        subject: "Hello".to_owned(),
        html: html.to_owned(),
        text: "{{ unsubscribe_url }}".to_owned(),
    }
}

fn refused(html: &str) -> TemplateFault {
    check(
        TemplateKind::Offer,
        &source(&format!("{html}\n{{{{ unsubscribe_url }}}}")),
    )
    .expect_err(html)
}

#[test]
fn an_offer_template_may_be_plain() {
    let html = "<p>{{ shop.name }}{% for offer in offers %}<a href=\"{{ offer.url }}\">{{ offer.title }}</a>\
                {% if not loop.last %}, {% endif %}{% endfor %}</p>\
                {% for item in order.items %}{{ item.title|upper }} {{ item.price }}{% endfor %}\
                {% set name = buyer.name|default('friend') %}{{ name }}{{ advertisers|join(', ') }}{{ offers[0].title }}\
                <a href=\"{{ unsubscribe_url }}\">Unsubscribe</a>";
    assert_eq!(check(TemplateKind::Offer, &source(html)), Ok(()));
}

#[test]
fn a_fault_names_part_line_and_column() {
    let fault = refused("<p>\nHello {{ shop.nmae }}\n</p>");
    assert_eq!((fault.part, fault.line), (Part::Html, Some(2)));
    assert_eq!(fault.source_line.as_deref(), Some("Hello {{ shop.nmae }}"));
    assert_eq!(fault.message, "`shop.nmae` is not defined");
    assert_eq!(fault.column, Some(10));

    let fault = refused("<p>\n\n{% if offers %}never closed");
    assert_eq!(fault.part, Part::Html);
    assert!(fault.line.is_some(), "{fault}");

    let fault = refused("ok\nok {{ a b }}");
    assert_eq!(fault.line, Some(2), "{fault}");
}

#[test]
fn an_offer_without_its_unsubscribe_link_is_refused() {
    let hidden = "{% if buyer.name %}{{ unsubscribe_url }}{% endif %}";
    for html in ["no link", hidden, "{# {{ unsubscribe_url }} #}"] {
        let fault = check(TemplateKind::Offer, &source(html)).expect_err(html);
        assert!(fault.message.contains("unsubscribe"), "{fault}");
        assert_eq!(fault.part, Part::Html);
    }
    assert_eq!(check(TemplateKind::Message, &source("no link")), Ok(()));
}

#[test]
fn what_could_grow_without_end_is_refused() {
    for html in [
        "{% set a = 'x' ~ 'x' %}",
        "{{ 'x' * 1000000000 }}",
        "{{ 'x' + 'x' }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ '%999999999d' % 1 }}",
        "{% for a in ['x', 'y'] %}{% endfor %}",
        "{% for a in ('x', 'y') %}{% endfor %}",
        "{% set a = 'x', 'y' %}",
        "{% set a = {'x': 1} %}",
        "{% set a %}x{% endset %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% include 'x' %}",
        "{% filter upper %}x{% endfilter %}",
        "{% raw %}x{% endraw %}{{ 'x' ~ 'y' }}",
        "{{ range(1000000) }}",
        "{{ shop }}",
        "{{ shop.name|indent(1000000000) }}",
    ] {
        refused(html);
    }
}

#[test]
fn a_loop_bomb_runs_out_of_fuel_or_space() {
    let loops = "{% for a in offers %}".repeat(14);
    let ends = "{% endfor %}".repeat(14);
    let fault = refused(&format!("{loops}{ends}"));
    assert_eq!(fault.message, "runs too long");

    let long = "x".repeat(100_000);
    let fault = refused(&format!("{{% for a in offers %}}{long}{{% endfor %}}"));
    assert!(fault.message.contains(&OUTPUT_BYTES_MAX.to_string()), "{fault}");

    let growing = "|replace('e', shop.url)".repeat(40);
    let fault = refused(&format!("{{{{ shop.url{growing} }}}}"));
    assert!(fault.message.contains("grows past"), "{fault}");
}

#[test]
fn texts_inside_a_template_are_bounded_since_slices_read_them_whole() {
    let long = "x".repeat(40_000);
    let fault = refused(&format!("<p>\n{{% set a = '{long}' %}}{{{{ a[0:9] }}}}"));
    assert!(fault.message.starts_with("a text between quotes"), "{fault}");
    assert_eq!(fault.line, Some(2));
    let fault = refused(&format!("{{{{ shop.url{} }}}}", "|replace('e', shop.url)".repeat(40)));
    assert_eq!(fault.message, "the text grows past 32768 bytes");
    // What stands in the page itself is not a text in this sense.
    check(
        TemplateKind::Offer,
        &source(&format!("{long}{{{{ unsubscribe_url }}}}")),
    )
    .unwrap();
}

#[test]
fn a_replacement_counts_what_it_leaves_and_nothing_is_divided_by_zero() {
    let message = |html: &str| {
        Template::compile(&TemplateSource {
            text: String::new(),
            ..source(html)
        })
        .unwrap()
    };
    let long = "a".repeat(10_000);
    let vars = [("a", long.as_str()), ("n", "0")];
    check_vars(&message("{{ vars.a|replace('a', 'bcd') }}"), vars).unwrap();
    check_vars(&message("{{ vars.a|replace('a', 'bcde') }}"), vars).expect_err("40,000 bytes");
    let template = message("{% if 1 is divisibleby(vars.n|int(1)) %}yes{% else %}no{% endif %}");
    check_vars(&template, vars).unwrap();
}

#[test]
fn filters_over_long_texts_run_out_of_bytes() {
    let long = "x".repeat(10_000);
    for filter in [
        "upper",
        "lower",
        "title",
        "capitalize",
        "trim",
        "trim('x')",
        "length",
        "replace('y', 'z')",
        "join",
    ] {
        let html = format!("{{% for c in vars.a %}}{{% if vars.a|{filter} == 'y' %}}{{% endif %}}{{% endfor %}}");
        let template = Template::compile(&TemplateSource {
            text: String::new(),
            ..source(&html)
        })
        .unwrap();
        let fault = check_vars(&template, [("a", long.as_str())]).expect_err(filter);
        assert!(
            fault.message.starts_with("runs too long: its filters"),
            "{filter}: {fault}"
        );
        // A few over the same text are nothing.
        let html = format!("{{% if vars.a|{filter} == 'y' %}}{{% endif %}}").repeat(20);
        let template = Template::compile(&TemplateSource {
            text: String::new(),
            ..source(&html)
        })
        .unwrap();
        check_vars(&template, [("a", long.as_str())]).expect(filter);
    }
}

#[test]
fn what_is_inserted_into_html_is_escaped_and_links_stay_links() {
    let html = "<a href=\"{{ vars.link }}\">{{ vars.name }}</a>{{ vars.name|upper }}{{ unsubscribe_url }}";
    let template = Template::compile(&TemplateSource {
        subject: "{{ vars.name }}".to_owned(),
        html: html.to_owned(),
        text: "{{ vars.name }}".to_owned(),
    })
    .unwrap();
    let vars = [
        ("link".to_owned(), "https://a.example/x?y=1&z=2".to_owned()),
        ("name".to_owned(), "<b>\"A'\r\n Bcc: x&B".to_owned()),
    ];
    let (shop, order) = (shop(), order("Anna"));
    let context = Context::message(
        Language::En,
        &shop,
        &order.customer,
        &vars.into(),
        None,
        &Track::nothing(),
    );
    let mut out = Rendered::default();
    template.render(&context, &mut out).unwrap();
    assert_eq!(
        out.html,
        "<a href=\"https://a.example/x?y=1&amp;z=2\">&lt;b&gt;&quot;A&#39;\r\n Bcc: x&amp;B</a>\
         &lt;B&gt;&quot;A&#39;\r\n BCC: X&amp;B"
    );
    assert_eq!(out.subject, "<b>\"A' Bcc: x&B");
    assert_eq!(out.text, "<b>\"A'\r\n Bcc: x&B");
}

#[test]
fn a_message_that_lacks_a_variable_is_told_before_it_is_sent() {
    let mut message = source("{{ vars.name }} {{ vars.code }}");
    message.text = String::new();
    assert_eq!(check(TemplateKind::Message, &message), Ok(()));
    let template = Template::compile(&message).unwrap();
    assert_eq!(check_vars(&template, [("name", "Anna"), ("code", "1")]), Ok(()));
    let fault = check_vars(&template, [("name", "Anna")]).unwrap_err();
    assert_eq!(fault.message, "`vars.code` is not defined");
}

#[test]
fn a_cart_template_shows_the_cart_s_link_and_what_it_holds() {
    let cart = |html: &str| TemplateSource {
        subject: "{{ cart.total }}".to_owned(),
        html: html.to_owned(),
        text: "{{ cart.url }}".to_owned(),
    };
    let html = "{% for item in cart.items %}{{ item.quantity }} {{ item.title }} {{ item.sku }} {{ item.price }} {{ item.amount }}\
                {% endfor %}{% if cart.more %}{{ cart.more }}{% endif %}{{ cart.reminder }}\
                {% if coupon %}{{ coupon.code }} {{ coupon.worth }} {{ coupon.until }}{% endif %}{% if for_shop %}{{ for_shop }}{% endif %}\
                <a href=\"{{ track('https://shop.example/') }}\">x</a> {{ buyer.name }}{{ unsubscribe_url }}{{ cart.url }}";
    assert_eq!(check(TemplateKind::Cart, &cart(html)), Ok(()));
    for (html, message) in [
        ("no link", "does not show the link to the cart"),
        (
            "{% if coupon %}{{ cart.url }}{% endif %}",
            "does not show the link to the cart",
        ),
        ("{{ cart.url }}{{ coupon.code }}", "not defined"),
        ("{{ cart.url }}{{ order.id }}", "not defined"),
        ("{{ cart.url }}{{ offers|length }}", "is undefined"),
        ("{{ cart.url }}{{ track() }}", "missing argument"),
        ("{{ cart.url }}{{ track(cart) }}", "not a string"),
        ("{{ cart.url }}{{ track }}", "cannot be printed"),
    ] {
        let fault = check(TemplateKind::Cart, &cart(html)).expect_err(html);
        assert_eq!(fault.part, Part::Html);
        assert!(fault.message.contains(message), "{html}: {fault}");
    }
    // An offer leads to other shops: there is nothing to follow on its own site.
    assert_eq!(refused("{{ track('https://shop.example/') }}").part, Part::Html);
    let mut message = cart("{{ track(vars.page) }}");
    (message.subject, message.text) = ("x".to_owned(), "{{ track(vars.page) }}".to_owned());
    assert_eq!(check(TemplateKind::Message, &message), Ok(()));
}

#[test]
fn the_built_in_offer_says_all_it_must_in_every_language() {
    let creative: Creative = serde_json::from_str(
        r#"{"title": "20 % & more", "text": "Text.", "button": "Go", "coupon": "X1", "image_url": "https://a.example/i.png"}"#,
    )
    .unwrap();
    let offers = [
        OfferView {
            creative: &creative,
            advertiser: "Profumeria <B>",
            url: "https://t.example/c/one",
        },
        OfferView {
            creative: &creative,
            advertiser: "Libri",
            url: "https://t.example/c/two",
        },
    ];
    for language in Language::ALL {
        for name in ["Mario Rossi", ""] {
            let context = Context::offer(
                language,
                &shop(),
                order(name).into(),
                &offers,
                "https://t.example/u/three",
            );
            let mut out = Rendered::default();
            Template::offer(language).render(&context, &mut out).unwrap();
            assert!(out.subject.contains("Scarpe & Co"), "{}", out.subject);
            assert!(out.html.contains(&format!("lang=\"{}\"", language.code())));
            assert_eq!(out.html.contains("Mario Rossi"), !name.is_empty());
            for must in [
                "https://t.example/c/one",
                "https://t.example/c/two",
                "https://t.example/u/three",
                "https://shop.example/privacy",
                "Via Roma 1",
                "100045",
                "X1",
                "Libri",
            ] {
                assert!(out.html.contains(must), "{language:?} html lacks {must}");
                assert!(out.text.contains(must), "{language:?} text lacks {must}");
            }
            assert!(out.html.contains("Profumeria &lt;B&gt;") && !out.html.contains("<B>"));
            assert!(!out.html.contains("[[") && !out.html.contains("{{") && !out.html.contains("{%"));
            assert!(!out.text.contains("[[") && !out.text.contains("{{") && !out.text.contains("{%"));
        }
    }
}

fn shop() -> ShopView {
    let spec = serde_json::json!({
        "name": "Scarpe & Co", "url": "https://shop.example/", "language": "it", "country": "IT",
        "postal_address": "Via Roma 1, 00100 Roma", "privacy_url": "https://shop.example/privacy",
        "color": "#b3442e", "promotional": {"address": "offerte@news.shop.example"},
    });
    ShopView::new(&serde_json::from_value(spec).unwrap())
}

fn order(name: &str) -> Order {
    let order = serde_json::json!({
        "order_id": "100045", "placed_at": "2026-11-21T20:15:00Z", "status": "confirmed",
        "customer": {"email": "mario@example.it", "name": name}, "total": {"amount": 5990, "currency": "EUR"},
    });
    serde_json::from_value(order).unwrap()
}
