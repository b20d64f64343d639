//! What a person said, wherever a shop tells it: an import against an earlier refusal, a refusal that comes with a cart.

use policy::PersonState;
use policy::person::Purpose;
use serde_json::json;
use types::contact::{Channel, ContactSource};
use types::event::{Event, PersonErased};
use types::order::Grant;
use types::time::Clock;

use crate::fixture::{Node, PUBLISHER, furnished};

const ANNA: &str = "anna@example.it";

/// Imports a contact who agreed, as the shop says.
async fn import(node: &Node) {
    let mut event = node.contact_changed(ANNA, node.agreed());
    if let Event::ContactChanged(changed) = &mut event {
        changed.source = ContactSource::Import;
    }
    node.submit(node.partition(ANNA), event).await;
    node.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_makes_no_consent_of_a_refusal_that_outlived_its_contact() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    node.furnish_automation().await;
    let steps = json!([{ "do": "send", "id": "first", "template": "hello" }]);
    let welcome = json!({ "name": "Welcome", "start": { "on": "subscription" }, "steps": steps });
    node.run("welcome", welcome).await;
    let mut refusal = node.agreed();
    refusal.consents[0].statement.granted = false;
    let refused = node.contact_changed(ANNA, refusal);
    node.submit(node.partition(ANNA), refused).await;
    let erased = PersonErased {
        person: node.person(ANNA),
        shop: Some(PUBLISHER),
    };
    node.submit(node.partition(ANNA), Event::PersonErased(erased)).await;
    node.settled().await;

    import(&node).await;
    let contact = node.contact(ANNA).await.unwrap();
    assert!(!contact.agrees(Channel::Email), "an import lifts no refusal");
    assert!(contact.enrolments().as_slice().is_empty(), "nobody subscribed");
    // What the person says itself counts.
    node.clock.advance(std::time::Duration::from_hours(1));
    node.subscribe(ANNA).await;
    assert_eq!(node.sent_steps(), ["first"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_comes_with_a_cart_is_the_persons() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    node.furnish_automation().await;
    node.subscribe(ANNA).await;
    node.clock.advance(std::time::Duration::from_hours(1));
    let mut touched = node.cart_changed(ANNA, "7", "boot");
    if let Event::CartChanged(changed) = &mut touched {
        changed.cart.as_mut().unwrap().consent.marketing = Some(Grant::Bare(false));
    }
    node.submit(node.partition(ANNA), touched).await;
    node.settled().await;
    assert!(!node.contact(ANNA).await.unwrap().agrees(Channel::Email));
    let person = node
        .store
        .state()
        .persons()
        .get(node.partition(ANNA), &node.person(ANNA));
    let person = PersonState::decode(&person.unwrap().unwrap()).unwrap();
    assert_eq!(person.refused_at(PUBLISHER, Purpose::Marketing), Some(node.clock.now()));
    node.stop().await;
}
