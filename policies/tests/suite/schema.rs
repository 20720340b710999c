use marque_policies::schema::{owner_schema, policy_schema};
#[test]
fn show() {
    std::fs::write("/tmp/brief3/p.json", serde_json::to_string_pretty(&policy_schema()).unwrap())
        .unwrap();
    std::fs::write("/tmp/brief3/o.json", serde_json::to_string_pretty(&owner_schema()).unwrap())
        .unwrap();
}
