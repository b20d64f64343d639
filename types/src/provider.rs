//! Which of a small closed set of providers runs a receiver, told by the names of its mail exchangers or of the domain. A metric
//! label and a dimension of statistics.

/// Who runs a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// Gmail and Workspace.
    Google,
    /// Outlook.com and Microsoft 365.
    Microsoft,
    /// Yahoo and AOL.
    Yahoo,
    /// iCloud.
    Apple,
    /// Libero and Virgilio.
    Italiaonline,
    /// TIM, Alice and tin.it.
    Tim,
    /// Aruba.
    Aruba,
    /// Anyone else.
    Other,
}

/// Suffixes of mail exchangers' names. Tables like this one are easier kept than guessed.
const SUFFIXES: [(&str, Provider); 24] = [
    ("google.com", Provider::Google),
    ("googlemail.com", Provider::Google),
    ("gmail.com", Provider::Google),
    ("outlook.com", Provider::Microsoft),
    ("hotmail.com", Provider::Microsoft),
    ("hotmail.it", Provider::Microsoft),
    ("live.com", Provider::Microsoft),
    ("live.it", Provider::Microsoft),
    ("mx.microsoft", Provider::Microsoft),
    ("yahoodns.net", Provider::Yahoo),
    ("yahoo.com", Provider::Yahoo),
    ("yahoo.it", Provider::Yahoo),
    ("aol.com", Provider::Yahoo),
    ("icloud.com", Provider::Apple),
    ("me.com", Provider::Apple),
    ("libero.it", Provider::Italiaonline),
    ("virgilio.it", Provider::Italiaonline),
    ("iol.it", Provider::Italiaonline),
    ("iol.local", Provider::Italiaonline),
    ("tim.it", Provider::Tim),
    ("alice.it", Provider::Tim),
    ("tin.it", Provider::Tim),
    ("aruba.it", Provider::Aruba),
    ("arubapec.it", Provider::Aruba),
];

impl Provider {
    /// Every provider, in the order of the numbers under which it is stored: new ones are added at the end.
    pub const ALL: [Self; 8] = [
        Self::Google,
        Self::Microsoft,
        Self::Yahoo,
        Self::Apple,
        Self::Italiaonline,
        Self::Tim,
        Self::Aruba,
        Self::Other,
    ];

    /// Returns who runs the host of this name, lower-case and without a final dot.
    pub fn of_host(host: &str) -> Self {
        let within = |suffix: &str| {
            host.strip_suffix(suffix)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        SUFFIXES
            .iter()
            .find(|(suffix, _)| within(suffix))
            .map_or(Self::Other, |(_, provider)| *provider)
    }

    /// Returns the number under which the provider is stored: its place in [`Provider::ALL`].
    pub fn number(self) -> u8 {
        let place = Self::ALL.iter().position(|provider| *provider == self);
        place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
    }

    /// Returns the provider of a number, if there is one.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Returns the name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Google => "google",
            Self::Microsoft => "microsoft",
            Self::Yahoo => "yahoo",
            Self::Apple => "apple",
            Self::Italiaonline => "italiaonline",
            Self::Tim => "tim",
            Self::Aruba => "aruba",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_exchangers_tell_the_provider() {
        for (host, provider) in [
            ("gmail-smtp-in.l.google.com", Provider::Google),
            ("shop-example.mail.protection.outlook.com", Provider::Microsoft),
            ("mta5.am0.yahoodns.net", Provider::Yahoo),
            ("smtp-in.libero.it", Provider::Italiaonline),
            ("notgoogle.com", Provider::Other),
            ("mx.example.it", Provider::Other),
        ] {
            assert_eq!(Provider::of_host(host), provider, "{host}");
        }
    }
}
