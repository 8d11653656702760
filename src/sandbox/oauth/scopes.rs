//! Which scopes a provider knows.

use crate::sandbox::message::Provider;

const HUBSPOT_FAMILIES: [&str; 9] = [
    "account-info.",
    "analytics.",
    "cms.",
    "communication_preferences.",
    "conversations.",
    "crm.",
    "marketing.",
    "settings.",
    "scheduler.",
];

const HUBSPOT: [&str; 21] = [
    "actions",
    "automation",
    "business-intelligence",
    "content",
    "ctas.read",
    "e-commerce",
    "external_integrations.forms.access",
    "files",
    "forms",
    "forms-uploaded-files",
    "hubdb",
    "integration-sync",
    "media_bridge.read",
    "oauth",
    "reports",
    "sales-email-read",
    "social",
    "tax_rates.read",
    "tickets",
    "timeline",
    "transactional-email",
];

const SALESFORCE: [&str; 20] = [
    "address",
    "api",
    "chatter_api",
    "content",
    "custom_permissions",
    "eclair_api",
    "email",
    "full",
    "id",
    "lightning",
    "offline_access",
    "openid",
    "pardot_api",
    "phone",
    "profile",
    "refresh_token",
    "sfap_api",
    "visualforce",
    "wave_api",
    "web",
];

/// Whether the provider has a scope of that name.
pub(super) fn is_known(provider: Provider, scope: &str) -> bool {
    match provider {
        Provider::HubSpot => {
            HUBSPOT.contains(&scope) || HUBSPOT_FAMILIES.iter().any(|family| in_family(family, scope))
        }
        Provider::Salesforce => SALESFORCE.contains(&scope),
        Provider::Echo => true,
    }
}

/// `crm.objects.contacts.write`: of the family, and ending in what may be done.
fn in_family(family: &str, scope: &str) -> bool {
    let last = scope
        .rsplit('.')
        .find(|part| !part.starts_with('v'))
        .unwrap_or_default();
    scope.starts_with(family)
        && matches!(
            last,
            "read" | "write" | "delete" | "read_write" | "send" | "access" | "import" | "export"
        )
}

/// What an app is given at Salesforce when it asks for no scope in particular.
pub(super) fn usual() -> Vec<String> {
    ["api", "refresh_token"].map(str::to_owned).to_vec()
}

/// The words of a `scope` parameter, each once.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        if !words.iter().any(|w| w == word) {
            words.push(word.to_owned());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_known_by_provider() {
        for good in [
            "oauth",
            "crm.objects.contacts.write",
            "crm.objects.deals.sensitive.read.v2",
            "crm.import",
        ] {
            assert!(is_known(Provider::HubSpot, good), "{good}");
        }
        for bad in [
            "contacts",
            "api",
            "crm.objects.contacts",
            "crm.objects.contacts.wirte",
            "write",
            "",
        ] {
            assert!(!is_known(Provider::HubSpot, bad), "{bad}");
        }
        assert!(is_known(Provider::Salesforce, "refresh_token") && !is_known(Provider::Salesforce, "oauth"));
    }

    #[test]
    fn a_scope_asked_twice_is_asked_once() {
        assert_eq!(words(" api  refresh_token api"), ["api", "refresh_token"]);
    }
}
