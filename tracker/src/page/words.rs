//! The page's words, by language. `{shop}` stands for the shop's name.

use types::locale::Language;

/// Every text of the page in one language.
pub(super) struct Words {
    pub(super) ask_title: &'static str,
    pub(super) ask_text: &'static str,
    pub(super) shop_button: &'static str,
    pub(super) network_button: &'static str,
    pub(super) tracking_button: &'static str,
    pub(super) mistake_button: &'static str,
    pub(super) done_title: &'static str,
    pub(super) done_shop: &'static str,
    pub(super) done_network: &'static str,
    pub(super) done_tracking: &'static str,
    pub(super) done_resumed: &'static str,
    /// What unsubscribing does not touch.
    pub(super) note: &'static str,
}

impl Words {
    pub(super) const fn of(language: Language) -> &'static Self {
        match language {
            Language::It => &ITALIAN,
            Language::En => &ENGLISH,
            Language::De => &GERMAN,
            Language::Fr => &FRENCH,
            Language::Es => &SPANISH,
        }
    }
}

const ITALIAN: Words = Words {
    ask_title: "Annullare l’iscrizione?",
    ask_text: "Non riceverai più offerte via e-mail da {shop}.",
    shop_button: "Annulla l’iscrizione a {shop}",
    network_button: "Annulla per tutti i negozi della rete",
    tracking_button: "Non registrare più le mie aperture e i miei clic",
    mistake_button: "È stato un errore: continuate con le offerte",
    done_title: "Fatto",
    done_shop: "Non riceverai più offerte via e-mail da {shop}.",
    done_network: "Non riceverai più offerte via e-mail da nessun negozio della rete.",
    done_tracking: "Le aperture e i clic nelle e-mail di {shop} non vengono più registrati, neanche in quelle già inviate.",
    done_resumed: "Riceverai di nuovo offerte via e-mail da {shop}.",
    note: "Le conferme dei tuoi ordini continueranno ad arrivare.",
};

const ENGLISH: Words = Words {
    ask_title: "Unsubscribe?",
    ask_text: "You will no longer receive offers by e-mail from {shop}.",
    shop_button: "Unsubscribe from {shop}",
    network_button: "Unsubscribe from all shops of the network",
    tracking_button: "Stop recording my opens and clicks",
    mistake_button: "That was a mistake: keep the offers coming",
    done_title: "Done",
    done_shop: "You will no longer receive offers by e-mail from {shop}.",
    done_network: "You will no longer receive offers by e-mail from any shop of the network.",
    done_tracking: "Opens and clicks in e-mails from {shop} are no longer recorded, those already sent included.",
    done_resumed: "You will receive offers by e-mail from {shop} again.",
    note: "Confirmations of your orders will still reach you.",
};

const GERMAN: Words = Words {
    ask_title: "Abmelden?",
    ask_text: "Sie erhalten dann keine Angebote per E-Mail mehr von {shop}.",
    shop_button: "Von {shop} abmelden",
    network_button: "Von allen Shops des Netzwerks abmelden",
    tracking_button: "Meine Öffnungen und Klicks nicht mehr erfassen",
    mistake_button: "Das war ein Versehen: Angebote weiter senden",
    done_title: "Erledigt",
    done_shop: "Sie erhalten keine Angebote per E-Mail mehr von {shop}.",
    done_network: "Sie erhalten von keinem Shop des Netzwerks mehr Angebote per E-Mail.",
    done_tracking: "Öffnungen und Klicks in E-Mails von {shop} werden nicht mehr erfasst, auch nicht in bereits gesendeten.",
    done_resumed: "Sie erhalten wieder Angebote per E-Mail von {shop}.",
    note: "Bestätigungen Ihrer Bestellungen erhalten Sie weiterhin.",
};

const FRENCH: Words = Words {
    ask_title: "Se désabonner ?",
    ask_text: "Vous ne recevrez plus d’offres par e-mail de {shop}.",
    shop_button: "Se désabonner de {shop}",
    network_button: "Se désabonner de toutes les boutiques du réseau",
    tracking_button: "Ne plus enregistrer mes ouvertures et mes clics",
    mistake_button: "C’était une erreur : continuer à recevoir les offres",
    done_title: "C’est fait",
    done_shop: "Vous ne recevrez plus d’offres par e-mail de {shop}.",
    done_network: "Vous ne recevrez plus d’offres par e-mail d’aucune boutique du réseau.",
    done_tracking: "Les ouvertures et les clics dans les e-mails de {shop} ne sont plus enregistrés, y compris dans ceux déjà envoyés.",
    done_resumed: "Vous recevrez de nouveau des offres par e-mail de {shop}.",
    note: "Vous continuerez à recevoir les confirmations de vos commandes.",
};

const SPANISH: Words = Words {
    ask_title: "¿Darse de baja?",
    ask_text: "Ya no recibirás ofertas por correo electrónico de {shop}.",
    shop_button: "Darse de baja de {shop}",
    network_button: "Darse de baja de todas las tiendas de la red",
    tracking_button: "No registrar más mis aperturas y clics",
    mistake_button: "Fue un error: seguid enviando ofertas",
    done_title: "Hecho",
    done_shop: "Ya no recibirás ofertas por correo electrónico de {shop}.",
    done_network: "Ya no recibirás ofertas por correo electrónico de ninguna tienda de la red.",
    done_tracking: "Las aperturas y los clics en los correos de {shop} ya no se registran, tampoco en los ya enviados.",
    done_resumed: "Volverás a recibir ofertas por correo electrónico de {shop}.",
    note: "Seguirás recibiendo las confirmaciones de tus pedidos.",
};
