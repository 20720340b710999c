//! What a program lends to its tools: a database, a client, a counter.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    sync::Arc,
};

/// A tool's parameter that is not the model's to fill in: what [`Agent::state`](crate::Agent::state)
/// was given.
///
/// ```
/// # use marque_agent_core::{Cx, State, ToolError};
/// # use std::{collections::BTreeMap, sync::Arc};
/// # use marque_macros::tool;
/// type Stations = Arc<BTreeMap<String, f64>>;
///
/// /// The wind at a station.
/// #[tool(crate = marque_agent_core)]
/// async fn wind(_cx: &Cx, State(known): State<Stations>, station: String) -> Result<f64, ToolError> {
///     known.get(&station).copied().ok_or_else(|| ToolError::Arguments("no such station".into()))
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State<T>(pub T);

/// One value a type.
#[derive(Clone, Default)]
pub struct States(Arc<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl States {
    /// These and one more, in place of one of the same type.
    pub(crate) fn with<T: Clone + Send + Sync + 'static>(&self, value: T) -> Self {
        let mut all = (*self.0).clone();
        all.insert(TypeId::of::<T>(), Arc::new(value));
        Self(Arc::new(all))
    }

    /// Whether there is one of this type.
    #[must_use]
    pub fn has<T: Any>(&self) -> bool {
        self.0.contains_key(&TypeId::of::<T>())
    }

    pub(crate) fn get<T: Clone + Any>(&self) -> Option<T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref().cloned()
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("States").field("types", &self.0.len()).finish()
    }
}
