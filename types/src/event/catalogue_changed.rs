//! What people put into the catalogue, and take out of it.

use minicbor::{Decode, Encode};

use super::Telling;
use super::payload::{About, Payload, Silent};
use crate::cart::CartSpec;
use crate::catalogue::{ApiKey, CampaignSpec, Scope, ShopSpec, TemplateSpec};
use crate::contact::{FieldSpec, GroupSpec};
use crate::id::ShopNumber;
use crate::text::Slug;
use crate::workflow::{Enrol, WorkflowSpec, WorkflowState};

/// A change of the catalogue.
#[expect(clippy::large_enum_variant, reason = "rare, and always boxed in its event")]
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum CatalogueChanged {
    /// A shop was put.
    #[n(0)]
    ShopPut {
        /// Under this id.
        #[n(0)]
        id: Slug,
        /// What was put.
        #[n(1)]
        spec: ShopSpec,
    },
    /// A shop was deleted, and its keys with it.
    #[n(1)]
    ShopDeleted {
        /// Which.
        #[n(0)]
        id: Slug,
    },
    /// A campaign was put.
    #[n(2)]
    CampaignPut {
        /// Under this id.
        #[n(0)]
        id: Slug,
        /// What was put.
        #[n(1)]
        spec: CampaignSpec,
    },
    /// A campaign was deleted.
    #[n(3)]
    CampaignDeleted {
        /// Which.
        #[n(0)]
        id: Slug,
    },
    /// A template was put.
    #[n(4)]
    TemplatePut {
        /// The shop it belongs to.
        #[n(0)]
        shop: ShopNumber,
        /// Under this id.
        #[n(1)]
        id: Slug,
        /// What was put.
        #[n(2)]
        spec: TemplateSpec,
    },
    /// A template was deleted.
    #[n(5)]
    TemplateDeleted {
        /// The shop it belongs to.
        #[n(0)]
        shop: ShopNumber,
        /// Which.
        #[n(1)]
        id: Slug,
    },
    /// An API key was made.
    #[n(6)]
    KeyPut {
        /// Its hash and scopes.
        #[n(0)]
        key: ApiKey,
    },
    /// An API key was revoked.
    #[n(7)]
    KeyRevoked {
        /// Whose.
        #[n(0)]
        shop: Slug,
        /// Which.
        #[n(1)]
        id: Slug,
    },
    /// A field of contacts was put.
    #[n(8)]
    FieldPut {
        /// The shop it belongs to.
        #[n(0)]
        shop: ShopNumber,
        /// Under this id.
        #[n(1)]
        id: Slug,
        /// What was put.
        #[n(2)]
        spec: FieldSpec,
    },
    /// A field was deleted; values of it are seen no more.
    #[n(9)]
    FieldDeleted {
        /// The shop it belongs to.
        #[n(0)]
        shop: ShopNumber,
        /// Which.
        #[n(1)]
        id: Slug,
    },
    /// A group was put.
    #[n(10)]
    GroupPut {
        /// The shop it belongs to.
        #[n(0)]
        shop: ShopNumber,
        /// Under this id.
        #[n(1)]
        id: Slug,
        /// What was put.
        #[n(2)]
        spec: GroupSpec,
    },
    /// A group was deleted; nobody is in it any more.
    #[n(11)]
    GroupDeleted {
        /// The shop it belongs to.
        #[n(0)]
        shop: ShopNumber,
        /// Which.
        #[n(1)]
        id: Slug,
    },
    /// A workflow's definition was put: a draft at first, a new version if it was on or off before.
    #[n(12)]
    WorkflowPut {
        /// The shop it belongs to.
        #[n(0)]
        shop: ShopNumber,
        /// Under this id.
        #[n(1)]
        id: Slug,
        /// What was put.
        #[cbor(n(2), with = "crate::json")]
        spec: Box<WorkflowSpec>,
    },
    /// A workflow was switched on or off.
    #[n(13)]
    WorkflowSwitched {
        /// The shop it belongs to.
        #[n(0)]
        shop: ShopNumber,
        /// Which.
        #[n(1)]
        id: Slug,
        /// Which way.
        #[n(2)]
        state: WorkflowState,
        /// Whom switching it on takes in.
        #[n(3)]
        enrol: Enrol,
    },
    /// A workflow was deleted; who is inside leaves.
    #[n(14)]
    WorkflowDeleted {
        /// The shop it belongs to.
        #[n(0)]
        shop: ShopNumber,
        /// Which.
        #[n(1)]
        id: Slug,
    },
    /// How a shop reminds of carts was put.
    #[n(15)]
    CartsPut {
        /// Which shop.
        #[n(0)]
        shop: ShopNumber,
        /// What was put.
        #[n(1)]
        spec: CartSpec,
    },
}

impl Payload for CatalogueChanged {
    /// It is between the operator, the shop and the API.
    type Public = Silent;

    const IS_PUBLIC: bool = false;

    fn about(&self) -> About {
        About::default()
    }

    fn sentence(&self) -> String {
        match self {
            Self::ShopPut { id, .. } => format!("Shop {id} was put."),
            Self::ShopDeleted { id } => format!("Shop {id} was deleted, and its keys with it."),
            Self::CampaignPut { id, .. } => format!("Campaign {id} was put."),
            Self::CampaignDeleted { id } => format!("Campaign {id} was deleted."),
            Self::TemplatePut { id, .. } => format!("Template {id} was put."),
            Self::TemplateDeleted { id, .. } => format!("Template {id} was deleted."),
            Self::KeyPut { key } => {
                let scopes: Vec<_> = key.scopes.iter().copied().map(Scope::as_str).collect();
                format!(
                    "API key {} of shop {} was made with {}.",
                    key.id,
                    key.shop,
                    scopes.join(", ")
                )
            }
            Self::KeyRevoked { shop, id } => format!("API key {id} of shop {shop} was revoked."),
            Self::FieldPut { id, .. } => format!("Field {id} was put."),
            Self::FieldDeleted { id, .. } => format!("Field {id} was deleted."),
            Self::GroupPut { id, .. } => format!("Group {id} was put."),
            Self::GroupDeleted { id, .. } => format!("Group {id} was deleted."),
            Self::WorkflowPut { id, .. } => format!("Workflow {id} was put."),
            Self::WorkflowSwitched { id, state, .. } => format!("Workflow {id} was switched {}.", state.as_str()),
            Self::WorkflowDeleted { id, .. } => format!("Workflow {id} was deleted."),
            Self::CartsPut { .. } => "The settings of carts were put.".to_owned(),
        }
    }

    fn public(&self, _telling: &Telling<'_>) -> Option<Silent> {
        None
    }
}
