//! Properties of tokens: round trips, and refusal of whatever was changed.

use proptest::prelude::*;

use super::*;
use crate::address::EmailAddress;
use crate::id::EventId;

const HOST: &str = "click.scarpe.example";

fn keys() -> TokenKeys {
    TokenKeys::new(&[(1, [1; 32]), (2, [2; 32])])
}

fn message() -> impl Strategy<Value = (MessageId, PartitionId)> {
    (any::<u64>(), 0..=1024_u16).prop_map(|(message, partition)| {
        (
            MessageId::from_raw(message),
            PartitionId::new(partition).expect("in range"),
        )
    })
}

prop_compose! {
    fn click()((message, partition) in message(), campaign: u32, shop: u32, slot: u8, flags: u8) -> ClickToken {
        ClickToken { message, partition, campaign: CampaignNumber(campaign), shop: ShopNumber(shop), slot, flags }
    }
}

prop_compose! {
    fn pixel()((message, partition) in message(), shop: u32, flags: u16) -> PixelToken {
        PixelToken { message, partition, shop: ShopNumber(shop), flags }
    }
}

prop_compose! {
    fn unsubscribe()((message, partition) in message(), shop: u32) -> UnsubscribeToken {
        UnsubscribeToken { message, partition, shop: ShopNumber(shop) }
    }
}

prop_compose! {
    fn aggregate_click()(shop: u32, campaign: u32, day: u16, slot: u8) -> AggregateClick {
        AggregateClick { shop: ShopNumber(shop), campaign: CampaignNumber(campaign), day, slot }
    }
}

prop_compose! {
    fn aggregate_pixel()(shop: u32, day: u16) -> AggregatePixel {
        AggregatePixel { shop: ShopNumber(shop), day }
    }
}

prop_compose! {
    fn click_id()(
        click: u64, (message, partition) in message(), campaign: u32, shop: u32, slot: u8, flags: u8,
    ) -> ClickId {
        let (campaign, shop) = (CampaignNumber(campaign), ShopNumber(shop));
        ClickId { click: EventId::from_raw(click), message, partition, campaign, shop, slot, flags }
    }
}

/// Tries a token as every kind; returns the kinds that take it.
fn accepted(keys: &TokenKeys, host: &str, token: &str) -> Vec<Kind> {
    let verdicts = [
        keys.verify_click(host, token).is_ok(),
        keys.verify_pixel(host, token).is_ok(),
        keys.verify_unsubscribe(host, token).is_ok(),
        keys.verify_aggregate_click(host, token).is_ok(),
        keys.verify_aggregate_pixel(host, token).is_ok(),
    ];
    let kinds = Kind::ALL.into_iter().zip(verdicts);
    kinds.filter_map(|(kind, taken)| taken.then_some(kind)).collect()
}

/// Returns the token with one bit of its bytes flipped.
fn flipped(token: &str, bit: usize) -> String {
    let mut bytes = data_encoding::BASE64URL_NOPAD.decode(token.as_bytes()).expect("ours");
    bytes[bit / 8] ^= 1 << (bit % 8);
    data_encoding::BASE64URL_NOPAD.encode(&bytes)
}

/// What must hold of every token: its own kind alone takes it, and nothing changed passes.
fn check(keys: &TokenKeys, kind: Kind, token: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(accepted(keys, HOST, token), vec![kind]);
    prop_assert_eq!(accepted(keys, "CLICK.scarpe.Example", token), vec![kind]);
    prop_assert_eq!(accepted(keys, "click.vini.example", token), vec![]);
    prop_assert_eq!(Kind::claimed(token), Some(kind));
    for bit in 0..token.len() * 6 / 8 * 8 {
        prop_assert_eq!(accepted(keys, HOST, &flipped(token, bit)), vec![], "bit {}", bit);
    }
    prop_assert_eq!(accepted(keys, HOST, &token[1..]), vec![]);
    prop_assert_eq!(accepted(keys, HOST, &format!("{token}A")), vec![]);
    let retired = TokenKeys::new(&[(3, [3; 32])]);
    prop_assert_eq!(accepted(&retired, HOST, token), vec![]);
    Ok(())
}

proptest! {
    #[test]
    fn click_tokens_come_back_and_nothing_else_does(fields in click()) {
        let token = keys().click(HOST, &fields);
        prop_assert_eq!(token.len(), 43);
        prop_assert_eq!(keys().verify_click(HOST, &token), Ok(fields));
        check(&keys(), Kind::Click, &token)?;
    }

    #[test]
    fn pixel_tokens_come_back_and_nothing_else_does(fields in pixel()) {
        let token = keys().pixel(HOST, &fields);
        prop_assert_eq!(token.len(), 35);
        prop_assert_eq!(keys().verify_pixel(HOST, &token), Ok(fields));
        check(&keys(), Kind::Pixel, &token)?;
    }

    #[test]
    fn unsubscribe_tokens_come_back_and_nothing_else_does(fields in unsubscribe()) {
        let token = keys().unsubscribe(HOST, &fields);
        prop_assert_eq!(token.len(), 44);
        prop_assert_eq!(keys().verify_unsubscribe(HOST, &token), Ok(fields));
        check(&keys(), Kind::Unsubscribe, &token)?;
    }

    #[test]
    fn aggregate_tokens_come_back_and_nothing_else_does(click in aggregate_click(), pixel in aggregate_pixel()) {
        let token = keys().aggregate_click(HOST, &click);
        prop_assert_eq!(token.len(), 31);
        prop_assert_eq!(keys().verify_aggregate_click(HOST, &token), Ok(click));
        check(&keys(), Kind::AggregateClick, &token)?;
        let token = keys().aggregate_pixel(HOST, &pixel);
        prop_assert_eq!(token.len(), 22);
        prop_assert_eq!(keys().verify_aggregate_pixel(HOST, &token), Ok(pixel));
        check(&keys(), Kind::AggregatePixel, &token)?;
    }

    #[test]
    fn click_ids_come_back_and_nothing_else_does(fields in click_id(), other in click_id()) {
        let text = keys().click_id(&fields);
        prop_assert_eq!(text.len(), 62);
        prop_assert_eq!(keys().open_click_id(&text), Ok(fields));
        prop_assert_eq!(accepted(&keys(), HOST, &text), vec![], "a click id is no token");
        prop_assert_eq!(Kind::claimed(&text), None);
        for bit in 0..text.len() * 6 / 8 * 8 {
            prop_assert!(keys().open_click_id(&flipped(&text, bit)).is_err(), "bit {}", bit);
        }
        prop_assert_eq!(keys().open_click_id(&text[1..]), Err(BadToken::Malformed));
        prop_assert_eq!(keys().open_click_id(&format!("{text}A")), Err(BadToken::Malformed));
        prop_assert_eq!(TokenKeys::new(&[(3, [3; 32])]).open_click_id(&text), Err(BadToken::UnknownKey));
        prop_assert_eq!(TokenKeys::new(&[(2, [3; 32])]).open_click_id(&text), Err(BadToken::Mac));
        // Nothing of the fields can be read off: two ids differ in every part, most of all where their fields are the same.
        if other != fields {
            let other = keys().click_id(&other);
            prop_assert_ne!(&other[3..24], &text[3..24]);
        }
    }

    #[test]
    fn a_token_is_no_click_id(fields in click()) {
        prop_assert_eq!(keys().open_click_id(&keys().click(HOST, &fields)), Err(BadToken::Malformed));
    }

    #[test]
    fn return_paths_come_back_in_any_case((message, partition) in message()) {
        let key = VerpKey::new(&[9; 32]);
        let path = key.return_path(message, partition, "bounce.Scarpe.example").expect("a domain");
        prop_assert!(path.local().len() <= 64);
        prop_assert_eq!(key.verify(&path), Some((message, partition)));
        let shouted = EmailAddress::try_from(path.as_str().to_ascii_uppercase()).expect("an address");
        prop_assert_eq!(key.verify(&shouted), Some((message, partition)));
        prop_assert_eq!(VerpKey::new(&[8; 32]).verify(&path), None);
        let moved = EmailAddress::try_from(format!("{}@bounce.vini.example", path.local())).expect("an address");
        prop_assert_eq!(key.verify(&moved), None);
        let name = path.local().trim_start_matches("b-").to_ascii_uppercase();
        let bytes = data_encoding::BASE32_NOPAD.decode(name.as_bytes()).expect("ours");
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let changed = data_encoding::BASE32_NOPAD.encode(&changed);
            let changed = EmailAddress::try_from(format!("b-{changed}@{}", path.domain())).expect("an address");
            prop_assert_eq!(key.verify(&changed), None, "bit {}", bit);
        }
    }

    #[test]
    fn no_text_is_a_token_or_a_panic(text in "\\PC*|[A-Za-z0-9_-]{16,48}") {
        prop_assert_eq!(accepted(&keys(), HOST, &text), vec![]);
        prop_assert!(keys().open_click_id(&text).is_err());
        let _ = Kind::claimed(&text);
        let _ = keys().trusts(&text);
    }
}

#[test]
fn the_newest_key_signs_and_the_older_ones_verify() {
    let token = AggregatePixel {
        shop: ShopNumber(7),
        day: 20_778,
    };
    let old = TokenKeys::new(&[(1, [1; 32])]).aggregate_pixel(HOST, &token);
    let new = keys().aggregate_pixel(HOST, &token);
    assert_ne!(old, new);
    assert_eq!(keys().verify_aggregate_pixel(HOST, &old), Ok(token));
    assert_eq!(
        TokenKeys::new(&[(2, [2; 32])]).verify_aggregate_pixel(HOST, &old),
        Err(BadToken::UnknownKey)
    );
}

#[test]
fn click_ids_survive_a_rotation() {
    let old = TokenKeys::new(&[(1, [1; 32])]);
    let fields = ClickId {
        click: EventId::from_raw(1),
        message: MessageId::from_raw(2),
        partition: PartitionId::CATALOGUE,
        campaign: CampaignNumber(3),
        shop: ShopNumber(4),
        slot: 5,
        flags: 0,
    };
    let text = old.click_id(&fields);
    assert_eq!(keys().open_click_id(&text), Ok(fields));
    assert_ne!(keys().click_id(&fields), text);
}

#[test]
fn a_distrusted_key_verifies_and_is_not_trusted() {
    let token = AggregatePixel {
        shop: ShopNumber(7),
        day: 20_778,
    };
    let old = TokenKeys::new(&[(1, [1; 32])]).aggregate_pixel(HOST, &token);
    let distrusting = keys().distrust(&[1]);
    assert_eq!(distrusting.verify_aggregate_pixel(HOST, &old), Ok(token));
    assert!(!distrusting.trusts(&old) && keys().trusts(&old));
    let new = distrusting.aggregate_pixel(HOST, &token);
    assert!(distrusting.trusts(&new));
    assert!(!distrusting.trusts("") && !distrusting.trusts("!!!!"));
}

#[test]
fn secrets_stay_out_of_debug_output() {
    assert_eq!(format!("{:?}", keys()), "TokenKeys([1, 2])");
    assert_eq!(format!("{:?}", VerpKey::new(&[9; 32])), "VerpKey(secret)");
}

#[test]
fn a_return_path_needs_a_domain() {
    let key = VerpKey::new(&[9; 32]);
    let path = key.return_path(MessageId::from_raw(1), PartitionId::CATALOGUE, "no domain");
    assert_eq!(path, Err(crate::address::NotAnAddress::Domain));
}
