//! What fails a test made as small as it gets: part by part is left out as long as it still fails.

use super::*;

impl Sketch {
    /// The same without one of its parts, in every way.
    pub(crate) fn simpler(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let mut less = |change: &dyn Fn(&mut Self) -> bool| {
            let mut other = self.clone();
            if change(&mut other) {
                all.push(other);
            }
        };
        less(&|s| std::mem::take(&mut s.split));
        less(&|s| s.expires.take().is_some());
        less(&|s| !std::mem::take(&mut s.times).is_empty());
        less(&|s| std::mem::take(&mut s.labels) != [None; 4]);
        less(&|s| s.valid.take().is_some());
        for at in 0..3 {
            less(&|s| s.agent.limits[at].take().is_some());
            less(&|s| s.owner.limits[at].take().is_some());
            less(&|s| s.task[at].take().is_some());
            less(&|s| s.pools[at].take().is_some());
            for kind in 0..7 {
                let keeps_one = |limits: &mut Seven| {
                    limits[kind].take().is_some() && limits[1..5].iter().any(Option::is_some)
                };
                less(&|s| s.agent.limits[at].as_mut().is_some_and(keeps_one));
                less(&|s| s.owner.limits[at].as_mut().is_some_and(keeps_one));
                less(&|s| s.task[at].as_mut().is_some_and(keeps_one));
                less(&|s| s.pools[at].as_mut().is_some_and(|pool| keeps_one(&mut pool.limits)));
            }
        }
        for at in 0..self.forbids.len() {
            less(&|s| s.forbids.drain(at..=at).count() == 1);
        }
        for at in 0..self.categories.len() {
            less(&|s| s.categories.drain(at..=at).count() == 1);
        }
        for at in 0..self.subs.len() {
            less(&|s| s.subs.drain(at..=at).count() == 1);
        }
        for at in 0..self.payees.len() {
            less(&|s| s.payees[at].bound.take().is_some());
            less(&|s| s.payees[at].category.take().is_some());
            less(&|s| !std::mem::take(&mut s.payees[at].times).is_empty());
            less(&|s| {
                let gone = s.payees.remove(at).name;
                s.subs.iter_mut().for_each(|sub| sub.payees.retain(|name| *name != gone));
                true
            });
        }
        for at in 0..self.tools.len() {
            less(&|s| !std::mem::take(&mut s.tools[at].arguments).is_empty());
            less(&|s| !std::mem::take(&mut s.tools[at].methods).is_empty());
            less(&|s| {
                let gone = s.tools.remove(at).name;
                s.subs.iter_mut().for_each(|sub| sub.tools.retain(|name| *name != gone));
                true
            });
        }
        all.retain(|sketch| sketch.forbids.iter().all(|forbid| forbid.fits(sketch)));
        all
    }
}

impl Case {
    /// The same without one part of its past.
    pub(crate) fn simpler(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for at in 0..self.book.debits.len() {
            let mut less = self.clone();
            less.book.debits.remove(at);
            all.push(less);
        }
        for at in 0..self.book.uses.len() {
            let mut less = self.clone();
            less.book.uses.remove(at);
            all.push(less);
        }
        all
    }
}

/// Makes what fails as small as it gets.
pub(crate) fn smallest(
    mut sketch: Sketch,
    mut case: Case,
    fails: impl Fn(&Sketch, &Case) -> bool,
) -> (Sketch, Case) {
    loop {
        if let Some(less) = sketch.simpler().into_iter().find(|less| fails(less, &case)) {
            sketch = less;
        } else if let Some(less) = case.simpler().into_iter().find(|less| fails(&sketch, less)) {
            case = less;
        } else {
            return (sketch, case);
        }
    }
}
