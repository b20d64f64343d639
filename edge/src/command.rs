//! The commands besides `serve` and `demo`. What looks into a running service asks its admin listener, never its files.

use std::fmt::Write;
use std::future::Future;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use hyper::Method;
use serde_json::{Value, json};

use crate::cli::{Admin, KeyScope, Keygen, QueueAction};
use crate::client::Client;
use crate::settings::Settings;
use crate::{story, watch};

/// Checks a settings file: says that all is well, or lists every fault and fails.
pub fn check(file: Option<&Path>) -> anyhow::Result<ExitCode> {
    match Settings::read(file) {
        Ok(_) => {
            println!("no fault");
            Ok(ExitCode::SUCCESS)
        }
        Err(faults) => {
            eprintln!("{faults}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Makes keys.
pub fn keygen(keygen: Keygen) -> anyhow::Result<ExitCode> {
    match keygen {
        Keygen::Api {
            shop,
            name,
            scopes,
            admin,
        } => api_key(&shop, &name, &scopes, &admin),
        Keygen::Token { distrust, settings } => token_key(distrust, settings.settings.as_deref()),
        Keygen::Dkim { domain, settings } => dkim_keys(&domain, settings.settings.as_deref()),
        Keygen::Operator { settings } => operator_key(settings.settings.as_deref()),
    }
}

fn api_key(shop: &str, name: &str, scopes: &[KeyScope], admin: &Admin) -> anyhow::Result<ExitCode> {
    let scopes: Vec<_> = scopes
        .iter()
        .map(|scope| match scope {
            KeyScope::Send => "send",
            KeyScope::Read => "read",
            KeyScope::Manage => "manage",
        })
        .collect();
    let path = format!("/admin/v1/shops/{shop}/keys");
    let body = json!({ "id": name, "scopes": scopes });
    let answer = ask(admin, |client| async move {
        client.json(Method::POST, &path, &body).await?.success()
    })?;
    println!(
        "{}",
        answer
            .get("key")
            .and_then(Value::as_str)
            .context("the service answered without a key")?
    );
    eprintln!("This is the only time the key is shown.");
    Ok(ExitCode::SUCCESS)
}

fn dkim_keys(domain: &str, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let settings = Settings::read(file)?;
    let domain = types::address::ascii_domain(domain).with_context(|| format!("{domain} is not a domain"))?;
    let secrets = store::Secrets::open(&settings.store.data_dir).context("opening the secrets")?;
    for record in mta::submit::dkim_records(&settings.submit, &secrets, &domain)? {
        println!("{}. IN TXT {}", record.name, record.zone_text());
    }
    Ok(ExitCode::SUCCESS)
}

fn token_key(distrust: Option<u8>, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let settings = Settings::read(file)?;
    let secrets = store::Secrets::open(&settings.store.data_dir).context("opening the secrets")?;
    let ids: Vec<u8> = secrets.token_secrets().iter().map(|(id, _)| *id).collect();
    if let Some(id) = distrust {
        if !ids.contains(&id) {
            bail!("there is no token key {id}; there are {ids:?}");
        }
        secrets.distrust_token_secret(id)?;
        eprintln!("Links signed with key {id} lead on and count for nothing from the next start on.");
    }
    // What signs must be trusted: a distrusted newest key is replaced.
    if distrust.is_none() || distrust == ids.last().copied() {
        println!("{}", secrets.rotate_token_secret()?);
        eprintln!("This key signs from the next start on. Keep the older ones for 400 days: links in mails need them.");
    }
    Ok(ExitCode::SUCCESS)
}

fn operator_key(file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let settings = Settings::read(file)?;
    let secrets = store::Secrets::open(&settings.store.data_dir).context("opening the secrets")?;
    println!("{}", api::auth::replace_operator_key(&secrets)?);
    eprintln!("This is the only time the key is shown. A running service uses the old one until it is restarted.");
    Ok(ExitCode::SUCCESS)
}

/// Lists the sites, or steers one.
pub fn queue(admin: &Admin, action: Option<QueueAction>) -> anyhow::Result<ExitCode> {
    let Some(action) = action else {
        let sites = ask(admin, |client| async move {
            client.get("/admin/v1/queues").await?.success()
        })?;
        print!("{}", story::sites(&sites));
        return Ok(ExitCode::SUCCESS);
    };
    let (method, path, body) = match action {
        QueueAction::Suspend { site } => (Method::POST, format!("/admin/v1/queues/{site}/suspend"), json!({})),
        QueueAction::Resume { site } => (Method::POST, format!("/admin/v1/queues/{site}/resume"), json!({})),
        QueueAction::Limit {
            site,
            connections,
            messages_per_connection,
            messages_per_second,
        } => (
            Method::PATCH,
            format!("/admin/v1/queues/{site}"),
            json!({
                "connections_max": connections,
                "messages_per_connection_max": messages_per_connection,
                "messages_per_second_max": messages_per_second,
            }),
        ),
    };
    ask(admin, |client| async move {
        client.json(method, &path, &body).await?.success()
    })?;
    println!("done");
    Ok(ExitCode::SUCCESS)
}

/// Tells the story of a message.
pub fn message(admin: &Admin, id: &str) -> anyhow::Result<ExitCode> {
    let path = format!("/admin/v1/messages/{id}");
    let told = ask(admin, |client| async move { client.get(&path).await?.success() })?;
    print!("{}", story::tell(&told));
    Ok(ExitCode::SUCCESS)
}

/// Tells the story of an order.
pub fn explain(admin: &Admin, shop: &str, order_id: &str) -> anyhow::Result<ExitCode> {
    let path = format!("/admin/v1/shops/{shop}/orders/{order_id}");
    let told = ask(admin, |client| async move { client.get(&path).await?.success() })?;
    print!("{}", story::tell(&told));
    Ok(ExitCode::SUCCESS)
}

/// Tells where a contact stands and what happened to it.
pub fn explain_contact(admin: &Admin, shop: &str, email: &str) -> anyhow::Result<ExitCode> {
    let path = format!("/admin/v1/shops/{}/contacts/{}/timeline", escaped(shop), escaped(email));
    let told = ask(admin, |client| async move { client.get(&path).await?.success() })?;
    print!("{}", crate::standing::tell(&told));
    Ok(ExitCode::SUCCESS)
}

/// Prints events.
pub fn events(admin: &Admin, follow: bool, filters: &[(&str, Option<String>)]) -> anyhow::Result<ExitCode> {
    let since = filters.iter().any(|(name, value)| *name == "since" && value.is_some());
    let mut query = query(filters);
    if !follow {
        query.push_str("&follow=false");
        if !since {
            query.push_str("&since=1970-01-01T00:00:00Z");
        }
    }
    let path = format!("/admin/v1/events/stream?{}", query.trim_start_matches('&'));
    ask(admin, |client| async move {
        watch::print(&client, &path, follow, &mut std::io::stdout().lock()).await?;
        Ok(Value::Null)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Shows statistics as a table.
pub fn stats(admin: &Admin, filters: &[(&str, Option<String>)]) -> anyhow::Result<ExitCode> {
    let path = format!("/admin/v1/stats?{}", query(filters).trim_start_matches('&'));
    let told = ask(admin, |client| async move { client.get(&path).await?.success() })?;
    print!("{}", story::stats(&told));
    Ok(ExitCode::SUCCESS)
}

/// Shows what other rules would say.
pub fn judge(admin: &Admin, rules: &Path, from: Option<&str>, to: Option<&str>) -> anyhow::Result<ExitCode> {
    let rules = std::fs::read_to_string(rules).with_context(|| format!("reading {}", rules.display()))?;
    let body = json!({ "rules": rules, "from": from, "to": to });
    let told = ask(admin, |client| async move {
        client.json(Method::POST, "/admin/v1/verdicts", &body).await?.success()
    })?;
    print!("{}", story::verdicts(&told));
    Ok(ExitCode::SUCCESS)
}

/// Writes what is given as a query, each part with an `&` before it.
fn query(parts: &[(&str, Option<String>)]) -> String {
    let given = parts.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    given.fold(String::new(), |mut query, (name, value)| {
        query.push('&');
        query.push_str(name);
        query.push('=');
        query.push_str(&escaped(value));
        query
    })
}

/// Writes a text so that it can stand in a path or a query.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~,:".contains(&byte) {
            out.push(byte.into());
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string cannot fail");
        }
        out
    })
}

fn ask<F: Future<Output = anyhow::Result<Value>>>(
    admin: &Admin,
    request: impl FnOnce(Client) -> F,
) -> anyhow::Result<Value> {
    let Some(key) = admin.operator_key.clone() else {
        bail!(
            "the operator key is missing: pass --operator-key or set STAFFETTA_OPERATOR_KEY (it was printed at the first start)"
        );
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(request(Client::new(admin.admin.clone(), Some(key))))
}
