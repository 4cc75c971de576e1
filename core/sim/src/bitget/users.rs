//! Sub-accounts, their keys and their money over the wire.

use keel_core::units::Quote;
use serde_json::{Value, json};

use super::scripted::{Stage, limit_order, near_mark, with_category};
use crate::account::ApiKey;

const PLACE: &str = "/api/v3/trade/place-order";

fn made(stage: &mut Stage, main: &ApiKey) -> (String, Value) {
    let body = json!({ "username": "quiet", "accountMode": "unified", "note": "rests" });
    let sub = stage.post(main, "/api/v3/user/create-sub", &body);
    assert_eq!(sub["username"], "quiet@virtual-bitget.com");
    let uid = sub["subUid"].as_str().unwrap().to_owned();
    let body = json!({
        "subUid": uid, "note": "bot_1", "type": "read_write", "permissions": ["uta_trade"],
        "passphrase": "1234567Aa", "ips": [],
    });
    let key = stage.post(main, "/api/v3/user/create-sub-api", &body);
    (uid, key)
}

fn usable(key: &Value) -> ApiKey {
    let text = |name: &str| key[name].as_str().unwrap();
    let permissions = crate::account::Permissions::TRADE;
    ApiKey::new(text("apiKey"), text("secret"), "1234567Aa", permissions)
}

#[test]
fn a_sub_account_is_opened_given_a_key_and_money_and_trades_for_itself() {
    let mut stage = Stage::unmetered();
    let main = stage.key("manual");
    let (uid, key) = made(&mut stage, &main);
    let own = usable(&key);
    let order = with_category(limit_order("buy", &near_mark(&stage, -3), "0.01")).to_string();
    assert_eq!(stage.refused(Some(&own), "POST", PLACE, &order), "25202", "it has nothing");
    let mut body = json!({
        "fromType": "uta", "toType": "uta", "amount": "500.5", "coin": "USDT",
        "fromUserId": "8000000002", "toUserId": uid, "clientOid": "first",
    });
    let moved = stage.post(&main, "/api/v3/account/sub-transfer", &body);
    assert_eq!(moved["clientOid"], "first");
    assert_eq!(stage.rest(Some(&own), "POST", PLACE, &order).status, 200);
    let assets = stage.get(Some(&main), "/api/v3/account/sub-unified-assets");
    assert_eq!(
        (&assets[0]["subUid"], &assets[0]["assets"][0]["balance"]),
        (&json!(uid), &json!("500.5"))
    );
    let info = stage.get(Some(&own), "/api/v3/account/info");
    assert_eq!(info["parentId"], "8000000002");

    body["fromUserId"] = json!(uid);
    body["toUserId"] = json!("8000000002");
    body["amount"] = json!("500.5");
    let path = "/api/v3/account/sub-transfer";
    let code = stage.refused(Some(&main), "POST", path, &body.to_string());
    assert_eq!(code, "43117", "its order holds some of it");
    body["toUserId"] = json!("8000000001");
    body["amount"] = json!("1");
    let code = stage.refused(Some(&main), "POST", path, &body.to_string());
    assert_eq!(code, "25005", "not of the family");
    let balance = |stage: &Stage| {
        let accounts = stage.exchange.venue().accounts();
        let sum = accounts.iter().filter(|a| !a.house).map(|a| a.balance());
        sum.fold(Quote::ZERO, |sum, one| sum + one)
    };
    assert_eq!(balance(&stage), Quote::usdt(1_010_000), "money moved and none was made");
}

#[test]
fn a_frozen_sub_account_reads_and_does_not_trade_over_either_wire() {
    let mut stage = Stage::unmetered();
    let main = stage.key("manual");
    let (uid, key) = made(&mut stage, &main);
    let own = usable(&key);
    let conn = stage.private(&own, &[]);
    let freeze = |operation: &str| json!({ "subUid": uid, "operation": operation });
    let path = "/api/v3/user/freeze-sub";
    assert_eq!(stage.post(&main, path, &freeze("freeze")), json!({}));
    let order = limit_order("buy", &near_mark(&stage, -3), "0.01");
    let rest = with_category(order.clone()).to_string();
    assert_eq!(stage.refused(Some(&own), "POST", PLACE, &rest), "25006");
    let frame = super::scripted::trade("place-order", &json!([order]));
    assert_eq!(stage.ask(conn, &frame)[0]["code"], "25006");
    stage.get(Some(&own), "/api/v3/account/assets");
    let list = stage.get(Some(&main), "/api/v3/user/sub-list");
    assert_eq!((&list["list"][0]["status"], &list["hasNext"]), (&json!("freeze"), &json!(false)));
    stage.post(&main, path, &freeze("unfreeze"));
    assert_eq!(stage.refused(Some(&own), "POST", PLACE, &rest), "25202", "only money lacks");
}

#[test]
fn a_key_of_a_sub_account_is_changed_listed_and_deleted_by_its_parent_only() {
    let mut stage = Stage::unmetered();
    let main = stage.key("manual");
    let (uid, key) = made(&mut stage, &main);
    let mut own = usable(&key);
    let conn = stage.private(&own, &[]);
    let update = "/api/v3/user/update-sub-api";
    let change = json!({
        "apiKey": own.key, "passphrase": "88888888", "type": "read_only",
        "permissions": ["uta_trade"], "ips": ["127.0.0.1"],
    });
    let changed = stage.post(&main, update, &change);
    assert_eq!((&changed["type"], &changed["ips"]), (&json!("read_only"), &json!(["127.0.0.1"])));
    assert_eq!(stage.refused(Some(&own), "GET", "/api/v3/account/assets", ""), "40012");
    own.passphrase = "88888888".into();
    assert_eq!(stage.refused(Some(&own), "POST", PLACE, "{}"), "40014", "it reads only");
    let list = format!("/api/v3/user/sub-api-list?subUid={uid}");
    let rows = stage.get(Some(&main), &list);
    assert_eq!(rows["items"][0]["note"], "bot_1");
    assert_eq!(stage.refused(Some(&own), "GET", &list, ""), "25620");
    let strange = json!({ "apiKey": stage.key("keel").key }).to_string();
    let delete = "/api/v3/user/delete-sub-api";
    assert_eq!(stage.refused(Some(&main), "POST", delete, &strange), "40037");
    let trades_only = stage.key("keel");
    assert_eq!(stage.refused(Some(&trades_only), "POST", delete, &strange), "40014");
    stage.post(&main, delete, &json!({ "apiKey": own.key }));
    assert!(stage.exchange.is_closing(conn), "its socket ends");
    assert_eq!(stage.refused(Some(&own), "GET", "/api/v3/account/assets", ""), "40037");
}

#[test]
fn what_a_page_forbids_for_a_name_a_note_or_a_passphrase_is_refused() {
    let mut stage = Stage::unmetered();
    let main = stage.key("manual");
    let (uid, _) = made(&mut stage, &main);
    let sub = "/api/v3/user/create-sub";
    for name in ["Upper", "digits1", "quiet", "abcdefghijklmnopqrstu"] {
        let body = json!({ "username": name }).to_string();
        assert_eq!(stage.refused(Some(&main), "POST", sub, &body), "40020", "{name}");
    }
    let sound = json!({
        "subUid": uid, "note": "n", "type": "read_write", "permissions": ["uta_mgt"],
        "passphrase": "12345678", "ips": ["10.0.0.1"],
    });
    for (name, value, code) in [
        ("note", json!("1n"), "40020"),
        ("passphrase", json!("1234567"), "40020"),
        ("passphrase", json!("1234567!"), "40020"),
        ("ips", json!(["::1"]), "40020"),
        ("ips", json!("10.0.0.1"), "40020"),
        ("permissions", json!(["withdraw"]), "40020"),
        ("type", Value::Null, "40019"),
        ("subUid", json!("1"), "25005"),
    ] {
        let mut body = sound.clone();
        body[name] = value;
        let path = "/api/v3/user/create-sub-api";
        assert_eq!(stage.refused(Some(&main), "POST", path, &body.to_string()), code, "{body}");
    }
}
