//! REST, sub-accounts, their keys, and money between them (the pages of V3 under `user` and
//! `account`). Only a main account may ask, with a key that manages; a sub-account may only send
//! money up.

use keel_core::units::{Quote, UnixNanos};
use serde::Serialize;
use serde_json::json;

use super::auth::{self, permission_words};
use super::endpoint::Call;
use super::hall::Hall;
use super::params::Params;
use super::reject;
use super::rest_market::limit;
use super::shape::{Asset, MARGIN_COIN};
use super::text::{Text, json as text_of};
use crate::account::{Account, AccountId, ApiKey, NewAccount, Permissions, SubAccount};
use crate::reject::Reject;

/// Opens a sub-account. Its name is that of an e-mail address which the venue makes up.
pub(super) fn create_sub(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let parent = main(hall, call)?;
    let name = call.params.required("username")?.into_owned();
    let sound = name.len() <= NAME_CHARS_MAX && name.bytes().all(|b| b.is_ascii_lowercase());
    let venue = &mut hall.venue;
    let accounts = venue.accounts();
    if !sound || accounts.len() >= ACCOUNTS_MAX || accounts.iter().any(|a| a.name == name) {
        return Err(reject::wrong("username", &name));
    }
    call.params.word("accountMode", &[("unified", ())])?;
    let note = note(&call.params)?;
    let uid = accounts.iter().map(|account| account.uid).max().unwrap_or(0) + 1;
    let id = venue.open_account(NewAccount { name, uid, parent: Some(parent) }, call.now);
    venue.set_sub(id, SubAccount { note, frozen: false, updated: call.now });
    let row = SubRow::of(venue.account(id));
    Ok(json!({
        "username": row.username,
        "subUid": row.sub_uid,
        "status": row.status,
        "note": row.note,
        "createdTime": row.created_time,
        "updatedTime": row.updated_time,
    })
    .to_string())
}

/// Stops a sub-account from trading, or lets it trade again.
pub(super) fn freeze_sub(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let parent = main(hall, call)?;
    let sub = sub_of(hall, parent, &call.params)?;
    let frozen = call.params.word("operation", &[("freeze", true), ("unfreeze", false)])?;
    let frozen = frozen.ok_or_else(|| reject::empty("operation"))?;
    let note = hall.venue.account(sub).sub.as_ref().map(|sub| sub.note.clone());
    let note = note.unwrap_or_default();
    hall.venue.set_sub(sub, SubAccount { note, frozen, updated: call.now });
    Ok(NOTHING.to_owned())
}

/// The sub-accounts, the oldest first.
pub(super) fn sub_list(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let parent = main(hall, call)?;
    let (limit, after) = window(&call.params, 100, 100)?;
    let mut subs: Vec<&Account> = subs_of(hall, parent, after).take(limit + 1).collect();
    let more = subs.len() > limit;
    subs.truncate(limit);
    let rows: Vec<_> = subs.iter().map(|account| SubRow::of(account)).collect();
    let last = subs.last().map_or(String::new(), |account| account.uid.to_string());
    Ok(json!({ "list": rows, "hasNext": more, "cursor": last }).to_string())
}

/// What the sub-accounts have.
pub(super) fn sub_assets(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let parent = main(hall, call)?;
    let (limit, after) = window(&call.params, 10, 50)?;
    let one = match call.params.text("subUid") {
        Some(_) => Some(sub_of(hall, parent, &call.params)?),
        None => None,
    };
    let subs = subs_of(hall, parent, after).filter(|sub| one.is_none_or(|one| one == sub.id));
    let rows: Vec<_> = subs
        .take(limit)
        .map(|account| {
            let uid = account.uid.to_string();
            let asset = Asset::of(&hall.venue.account_view(account.id));
            json!({ "subUid": uid, "cursor": uid, "assets": [asset] })
        })
        .collect();
    Ok(text_of(&rows))
}

/// Makes a key for a sub-account.
pub(super) fn create_key(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let parent = main(hall, call)?;
    let params = &call.params;
    let sub = sub_of(hall, parent, params)?;
    let note = params.required("note")?.into_owned();
    if !is_note(&note) {
        return Err(reject::wrong("note", &note));
    }
    let passphrase = passphrase(params)?;
    let read_only = read_only(params)?.ok_or_else(|| reject::empty("type"))?;
    let permissions = permissions(params)?.ok_or_else(|| reject::empty("permissions"))?;
    let ips = addresses(params)?.ok_or_else(|| reject::empty("ips"))?;
    let drawn = auth::drawn_key(permissions, ips, &mut hall.random, call.now);
    let key = ApiKey { passphrase, read_only, note, ..drawn };
    let made = json!({
        "note": key.note,
        "apiKey": key.key,
        "secret": key.secret,
        "type": type_word(&key),
        "permissions": permission_words(key.permissions),
        "ips": key.ips,
    });
    hall.venue.add_key(sub, key);
    Ok(made.to_string())
}

/// Changes what a sub-account's key may do and where it may be used from. What is absent stays.
pub(super) fn update_key(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let parent = main(hall, call)?;
    let params = &call.params;
    let (sub, mut key) = key_of(hall, parent, params)?;
    key.passphrase = passphrase(params)?;
    match (read_only(params)?, permissions(params)?) {
        (Some(read_only), Some(permissions)) => {
            key.read_only = read_only;
            key.permissions = permissions;
        }
        (None, None) => {}
        (None, Some(_)) => return Err(reject::empty("type")),
        (Some(_), None) => return Err(reject::empty("permissions")),
    }
    key.ips = addresses(params)?.unwrap_or(key.ips);
    let changed = json!({
        "note": key.note,
        "apiKey": key.key,
        "type": type_word(&key),
        "permissions": permission_words(key.permissions),
        "ips": key.ips,
    });
    hall.venue.add_key(sub, key);
    Ok(changed.to_string())
}

/// Removes a sub-account's key, and ends the sockets that are logged in with it.
pub(super) fn delete_key(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let parent = main(hall, call)?;
    let (_, key) = key_of(hall, parent, &call.params)?;
    hall.venue.revoke_key(&key.key);
    hall.revoked.push(key.key);
    Ok(NOTHING.to_owned())
}

/// The keys of a sub-account.
pub(super) fn key_list(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let parent = main(hall, call)?;
    let sub = sub_of(hall, parent, &call.params)?;
    let limit = limit(&call.params, 100, 100)?;
    let after = call.params.text("cursor").map(|cursor| cursor.into_owned());
    let after = |key: &&ApiKey| after.as_deref().is_none_or(|after| key.key.as_str() > after);
    let mut keys: Vec<_> = hall.venue.keys(sub).filter(after).take(limit + 1).collect();
    let more = keys.len() > limit;
    keys.truncate(limit);
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            json!({
                "apiKey": key.key,
                "note": key.note,
                "type": type_word(key),
                "permissions": permission_words(key.permissions),
                "ips": key.ips,
                "ts": Text::from(key.created),
            })
        })
        .collect();
    let last = keys.last().map_or("", |key| &key.key);
    Ok(json!({ "items": rows, "hasNext": more, "cursor": last }).to_string())
}

/// Moves money between a main account and its sub-accounts, or between two of these.
pub(super) fn sub_transfer(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let caller = main(hall, call)?;
    let account = |name| {
        let uid = call.params.parsed::<u64>(name)?.ok_or_else(|| reject::empty(name))?;
        let found =
            hall.venue.accounts().iter().find(|account| !account.house && account.uid == uid);
        let family = found.filter(|a| a.id == caller || a.parent == Some(caller));
        family.map(|account| account.id).ok_or(reject::USER_UNKNOWN)
    };
    let (from, to) = (account("fromUserId")?, account("toUserId")?);
    call.params.required("clientOid")?;
    transfer(hall, call, from, to)
}

/// Sends a sub-account's money to its main account.
pub(super) fn master_transfer(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let parent = hall.venue.account(call.account()).parent.ok_or(reject::USER_UNKNOWN)?;
    transfer(hall, call, call.account(), parent)
}

/// Only unified accounts are here, and only one coin.
fn transfer(
    hall: &mut Hall,
    call: &Call,
    from: AccountId,
    to: AccountId,
) -> Result<String, Reject> {
    let params = &call.params;
    for name in ["fromType", "toType"] {
        params.word(name, &[("uta", ())])?.ok_or_else(|| reject::empty(name))?;
    }
    let coin = params.required("coin")?;
    if !coin.eq_ignore_ascii_case(MARGIN_COIN) {
        return Err(reject::wrong("coin", &coin));
    }
    let amount = params.decimal("amount")?.ok_or_else(|| reject::empty("amount"))?;
    let amount = Quote(amount.e8().map_err(|_| Reject::NUMBER_RANGE)?);
    let client = params.text("clientOid").unwrap_or_default();
    if client.len() > TRANSFER_ID_CHARS_MAX {
        return Err(reject::wrong("clientOid", &client));
    }
    let id = hall.venue.transfer_between(from, to, amount, call.now)?;
    Ok(json!({ "transferId": id.to_string(), "clientOid": client }).to_string())
}

/// The caller, when it is a main account.
fn main(hall: &Hall, call: &Call) -> Result<AccountId, Reject> {
    match hall.venue.account(call.account()).parent {
        None => Ok(call.account()),
        Some(_) => Err(reject::NOT_MAIN),
    }
}

/// The sub-account of `parent` that `subUid` names.
fn sub_of(hall: &Hall, parent: AccountId, params: &Params) -> Result<AccountId, Reject> {
    let uid = params.required("subUid")?;
    let mut subs = subs_of(hall, parent, 0);
    let found = subs.find(|account| account.uid.to_string() == uid);
    found.map(|account| account.id).ok_or(reject::USER_UNKNOWN)
}

fn subs_of(hall: &Hall, parent: AccountId, after: u64) -> impl Iterator<Item = &Account> {
    let mut subs: Vec<&Account> = hall
        .venue
        .accounts()
        .iter()
        .filter(|a| a.parent == Some(parent) && a.uid > after)
        .collect();
    subs.sort_by_key(|account| account.uid);
    subs.into_iter()
}

/// The key that `apiKey` names, of a sub-account of `parent`.
fn key_of(hall: &Hall, parent: AccountId, params: &Params) -> Result<(AccountId, ApiKey), Reject> {
    let name = params.text("apiKey").map_or_else(|| params.required("apikey"), Ok)?;
    let (owner, key) = hall.venue.key(&name).ok_or(reject::KEY_UNKNOWN)?;
    match hall.venue.account(owner).parent {
        Some(of) if of == parent => Ok((owner, key.clone())),
        _ => Err(reject::KEY_UNKNOWN),
    }
}

fn window(params: &Params, usual: usize, most: usize) -> Result<(usize, u64), Reject> {
    Ok((limit(params, usual, most)?, params.parsed::<u64>("cursor")?.unwrap_or(0)))
}

fn note(params: &Params) -> Result<String, Reject> {
    let note = params.text("note").unwrap_or_default();
    if note.chars().count() > NOTE_CHARS_MAX {
        return Err(reject::wrong("note", &note));
    }
    Ok(note.into_owned())
}

/// A letter, and then letters, digits and `-,_`.
fn is_note(note: &str) -> bool {
    note.len() <= NOTE_CHARS_MAX
        && note.starts_with(|c: char| c.is_ascii_alphabetic())
        && note.bytes().all(|b| b.is_ascii_alphanumeric() || b"-,_".contains(&b))
}

/// 8 to 32 letters and digits.
fn passphrase(params: &Params) -> Result<String, Reject> {
    let text = params.required("passphrase")?;
    if !(8..=32).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(reject::wrong("passphrase", "8 to 32 letters and digits"));
    }
    Ok(text.into_owned())
}

fn read_only(params: &Params) -> Result<Option<bool>, Reject> {
    params.word("type", &[("read_only", true), ("read_write", false)])
}

fn permissions(params: &Params) -> Result<Option<Permissions>, Reject> {
    let Some(words) = params.texts("permissions")? else { return Ok(None) };
    let mut permissions = Permissions::READ;
    for word in words {
        match word.as_str() {
            "uta_trade" => permissions.trade = true,
            "uta_mgt" => permissions.manage = true,
            _ => return Err(reject::wrong("permissions", &word)),
        }
    }
    Ok(Some(permissions))
}

/// Up to 30 addresses of version 4.
fn addresses(params: &Params) -> Result<Option<Vec<String>>, Reject> {
    let Some(ips) = params.texts("ips")? else { return Ok(None) };
    let sound = |ip: &String| ip.parse::<std::net::Ipv4Addr>().is_ok();
    if ips.len() > ADDRESSES_MAX || !ips.iter().all(sound) {
        return Err(reject::wrong("ips", "addresses"));
    }
    Ok(Some(ips))
}

const fn type_word(key: &ApiKey) -> &'static str {
    if key.read_only { "read_only" } else { "read_write" }
}

/// A row of `user/sub-list`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SubRow {
    sub_uid: String,
    username: String,
    status: &'static str,
    account_mode: &'static str,
    r#type: &'static str,
    note: String,
    created_time: Text,
    updated_time: Text,
}

impl SubRow {
    /// The documentation's list says `freeze` where its table says `frozen`.
    fn of(account: &Account) -> Self {
        let sub = account.sub.as_ref();
        let updated: UnixNanos = sub.map_or(account.opened, |sub| sub.updated);
        Self {
            sub_uid: account.uid.to_string(),
            username: format!("{}@virtual-bitget.com", account.name),
            status: if sub.is_some_and(|sub| sub.frozen) { "freeze" } else { "normal" },
            account_mode: "UNIFIED",
            r#type: "VIRTUAL_CHILD",
            note: sub.map_or(String::new(), |sub| sub.note.clone()),
            created_time: account.opened.into(),
            updated_time: updated.into(),
        }
    }
}

/// The data of an answer that says nothing.
const NOTHING: &str = "{}";
const NAME_CHARS_MAX: usize = 20;
const NOTE_CHARS_MAX: usize = 50;
const ADDRESSES_MAX: usize = 30;
const TRANSFER_ID_CHARS_MAX: usize = 64;
/// Accounts of the venue at most.
pub(super) const ACCOUNTS_MAX: usize = 256;
