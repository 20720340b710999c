//! What a tool's parameters become: a schema, defaults, and what the program lends.

use crate::{desk::Desk, scout};
use marque_agent_core::{AgentError, Cx, State, Tool as _, ToolError};
use marque_macros::tool;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Unit {
    Knots,
    MetresPerSecond,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Place {
    name: String,
    #[schemars(range(min = -90, max = 90))]
    latitude: i8,
}

/// The wind somewhere.
#[tool(crate = marque_agent_core)]
async fn wind(
    _cx: &Cx,
    place: Place,
    /// In which unit.
    #[default(Unit::Knots)]
    unit: Unit,
    #[default(3)]
    #[schemars(range(min = 1, max = 7))]
    mut days: u8,
    #[serde(rename = "from")] model: Option<String>,
) -> Result<(String, Unit, u8, Option<String>), ToolError> {
    days += 1;
    Ok((place.name, unit, days, model))
}

type Known = Arc<BTreeMap<&'static str, f64>>;

/// The wind at a known station.
#[tool(crate = marque_agent_core)]
async fn known(
    _cx: &Cx,
    State(stations): State<Known>,
    station: String,
    State(asked): State<Arc<AtomicU32>>,
) -> Result<f64, ToolError> {
    asked.fetch_add(1, Ordering::SeqCst);
    let found = stations.get(station.as_str()).copied();
    found.ok_or_else(|| ToolError::Arguments(format!("no station {station}")))
}

/// As [`known`], through it.
#[tool(crate = marque_agent_core)]
async fn through(cx: &Cx, station: String) -> Result<f64, ToolError> {
    let stations: Known = cx.state()?;
    known(cx, State(stations), station, State(cx.state()?)).await
}

#[test]
fn parameters_become_a_closed_schema_with_their_ranges() {
    assert_eq!(
        wind.schema(),
        json!({
            "type": "object",
            "properties": {
                "place": {
                    "type": "object",
                    "properties": {
                        "name": { "type": "string" },
                        "latitude": { "type": "integer", "minimum": -90, "maximum": 90 },
                    },
                    "required": ["name", "latitude"],
                    "additionalProperties": false,
                },
                "unit": {
                    "type": "string",
                    "enum": ["knots", "metres_per_second"],
                    "description": "In which unit.",
                },
                "days": { "type": "integer", "minimum": 1, "maximum": 7 },
                "from": { "type": ["string", "null"] },
            },
            "required": ["place"],
            "additionalProperties": false,
        })
    );
}

#[tokio::test]
async fn what_a_model_leaves_out_has_its_default_and_what_the_program_lends_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["wind", "known", "through"], &[]));
    let script = [
        r#"{"tool":"wind","args":{"place":{"name":"Horta","latitude":38}}}"#,
        r#"{"tool":"wind","args":{"place":{"name":"Horta","latitude":38},"unit":"metres_per_second","days":7,"from":"icon"}}"#,
        r#"{"tool":"known","args":{"station":"Horta"}}"#,
        r#"{"tool":"through","args":{"station":"Flores"}}"#,
        r#"{"tool":"finish","args":{"answer":"done"}}"#,
    ];
    let stations: Known = Arc::new(BTreeMap::from([("Horta", 14.2)]));
    let asked = Arc::new(AtomicU32::new(0));
    let agent = scout(&desk, dir.path(), &script).build().await.unwrap();
    let agent = agent.tool(wind).tool(known).tool(through).state(stations).state(asked.clone());
    let _: String = agent.run_as("wind", "the wind").await.unwrap();
    let task = serde_json::to_value(agent.task("wind").await.unwrap().unwrap()).unwrap();
    let text = task.to_string();
    for shown in [
        r#"["Horta","knots",4,null]"#,
        r#"["Horta","metres_per_second",8,"icon"]"#,
        "14.2",
        "no station Flores",
    ] {
        let quoted = serde_json::to_string(shown).unwrap();
        let escaped = quoted.trim_matches('"');
        assert!(text.contains(shown) || text.contains(escaped), "{shown} is not in {text}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_run_does_not_begin_without_what_a_tool_takes() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["known"], &[]));
    let agent = scout(&desk, dir.path(), &[]).build().await.unwrap().tool(known);
    let agent = agent.state(Arc::new(AtomicU32::new(0)));
    let error = agent.run::<String>("the wind").await.unwrap_err();
    let AgentError::State { tool, ty } = &error else { panic!("{error}") };
    assert_eq!(tool, "known");
    assert!(ty.contains("BTreeMap"), "{ty}");
}
