//! `marque account status`: the chain beside the policy.

use super::{
    Shared, Signed, Site, in_force, keeper,
    messages::{Living, living},
    waits::first_pending,
};
use crate::{
    failure::Done,
    story::{bar, note, say},
};
use alloy_primitives::Address;
use marque::owner::{Holding, Notes, Owner};
use marque_identity::account::{AssetStanding, Drift, Permissions, Standing, Used};
use marque_identity_keys::KeyDir;
use marque_policies::{AssetId, Money, Policy};
use std::{path::PathBuf, process::ExitCode};

pub(super) async fn run(shared: &Shared, agent: &str) -> Done<ExitCode> {
    let mut doubts = Vec::new();
    let done = look(shared, agent, &mut doubts).await;
    // What ends it is told as that alone.
    let fatal = done.as_ref().err().map(|failure| &failure.message);
    doubts.iter().filter(|doubt| fatal != Some(doubt)).for_each(|doubt| note(doubt));
    done
}

async fn look(shared: &Shared, agent: &str, doubts: &mut Vec<String>) -> Done<ExitCode> {
    // Whoever has no key here looks by the word of the host.
    let mut sound = true;
    let me = Owner::address_in(&shared.owner_home()?).ok();
    let (site, delegated) = match me {
        None => {
            let site = Site::stated(shared, agent)?;
            let delegated = site.delegated()?;
            (site, delegated)
        }
        Some(me) => {
            // Who handed over looks at what the successor put in force.
            let now = keeper::in_force(&shared.home()?).unwrap_or_default();
            let mine = now.is_none_or(|now| now == me);
            let site = match (in_force(shared, agent), gone(shared, agent)?) {
                (_, Some(gone)) => {
                    sound = false;
                    let site = Site::by_folder(shared, agent)?;
                    doubts.push(format!(
                        "{gone}, and this goes by your own folder: marque account revoke {agent} ends what \
                         may live"
                    ));
                    site
                }
                (Ok(_), None) => Site::in_force(shared, agent)?,
                (Err(_), None) if !mine => {
                    Site::stated(shared, agent).or_else(|_| Site::own(shared, agent))?
                }
                (Err(why), None) => {
                    let own = Site::own(shared, agent);
                    if own.is_ok() {
                        doubts.push(why.message);
                    }
                    sound = false;
                    own.or_else(|_| Site::ending(shared, agent))?
                }
            };
            let Signed { mine: mut signed, theirs, doubt, .. } = site.signed(shared)?;
            if let Some(doubt) = doubt {
                doubts.push(doubt.message);
                sound = false;
            }
            let alive = Signed::alive(&site.rpc, signed.iter().cloned()).await?.pop();
            let over = if mine { signed.pop().or(theirs) } else { theirs.or(signed.pop()) };
            (site, alive.or(over))
        }
    };
    let policy = &site.policy;
    let now = match site.homeless {
        true => None,
        false => keeper::in_force(&site.home)?,
    };
    let left = site.left().await?;
    let messages = messages(shared, &site).await?;
    // What the owner sent may end, or deploy, what is told here as it is now.
    let pending = match me {
        Some(me) => first_pending(&site.rpc, me).await?,
        None => None,
    };
    if let (Some(number), Some(me)) = (pending, me) {
        doubts.push(format!(
            "transaction number {number} of {me} is in no block yet: what it ends has not ended"
        ));
    }
    let Some(delegated) = delegated else {
        // The files of a host are no word on which anybody is safe.
        let known = me.map(|_| false);
        if shared.json {
            let account = site.account();
            say!(
                "{}",
                serde_json::json!({ "account": account, "delegated": known, "left": left, "messages": messages })
            );
        } else if me.is_none() {
            say!(
                "this host shows nothing that is delegated to {agent} from the account {}; whether \
                 anything is, it does not say: there is no owner's key in {}",
                site.account(),
                shared.owner_home()?.path().display()
            );
            say!("  with the owner's folder: marque account status {agent} --owner-home DIR");
        } else {
            say!("nothing is delegated to {agent}: the account {} is safe from it", site.account());
            say!("  marque account explain {agent}@adopted, then marque account delegate {agent}");
            succeeded(&site, now, &left);
            messages.iter().for_each(Message::tell);
        }
        return Ok(ExitCode::FAILURE);
    };
    let standing = delegated.standing(&site.rpc).await?;
    let drift = site.drift(shared, &delegated)?;
    let beside = match me {
        Some(_) if !standing.is_over_for_certain() => {
            site.beside(shared, delegated.agent, &delegated.unsigned()).await?
        }
        _ => Vec::new(),
    };
    let sums = together(&site, &delegated, &standing, &beside).await?;
    let handed = now.is_some_and(|now| now != policy.owner);
    let over = standing.is_over_for_certain();
    let lost = match over || !sound {
        true => None,
        false => lost(&site, &delegated)?,
    };
    let whole = standing.assets.iter().all(|asset| !asset.revoked);
    let stands = !standing.is_over() && lost.is_none() && whole;
    let well = sound && !handed && drift.is_empty() && beside.is_empty() && stands;
    let coins = coins(&site, &delegated).await?;
    if shared.json {
        let windows = |it: &AssetStanding| -> Vec<_> {
            let window = |used: &Used| {
                serde_json::json!({
                    "rule": used.rule, "used": used.used, "limit": used.limit,
                    "policy": in_policy(policy, it.asset, &used.rule),
                })
            };
            it.windows.iter().map(window).collect()
        };
        let assets: Vec<_> = standing
            .assets
            .iter()
            .map(|it| {
                serde_json::json!({
                    "asset": it.asset, "revoked": it.revoked, "account": it.account,
                    "float": it.float, "windows": windows(it),
                    "marks": policy.floats.get(&it.asset).map(|float| {
                        [float.low, float.high].map(|units| Money::new(units, it.asset))
                    }),
                })
            })
            .collect();
        say!(
            "{}",
            serde_json::json!({
                "account": delegated.account, "agent": delegated.agent, "delegated": !over,
                "expires": delegated.until, "expired": standing.expired, "ended": standing.ended,
                "paused": standing.paused, "silent": standing.silent, "disputed": standing.disputed,
                "assets": assets, "drift": drift, "left": left, "owner_in_force": now,
                "beside": beside.iter().map(|(name, _)| name).collect::<Vec<_>>(),
                "together": sums, "coins": coins, "pending": pending, "file_in_place": lost.is_none(),
                "messages": messages,
            })
        );
    } else {
        tell(&site, (&delegated, &standing), coins, &drift);
        if let Some(lost) = &lost {
            say!("{lost}: its steward draws nothing");
            say!("  marque account delegate {agent} writes it again, and signs nothing");
        }
        for (name, _) in &beside {
            say!("{name} draws under other limits for all agents together, which count apart:");
            for (rule, sum) in &sums {
                say!("  {rule}: all agents may take {} together", policy.show(*sum));
            }
            say!("  marque account delegate {agent} --anew ends that of {name}");
        }
        if !over {
            say!("it ends at {}", moment(delegated.until));
        }
        succeeded(&site, now, &left);
        messages.iter().for_each(Message::tell);
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Why nothing can be read of a home where the owner's folder knows more: there is none any more, or none
/// yet, or it was emptied or damaged.
fn gone(shared: &Shared, agent: &str) -> Done<Option<String>> {
    let home = shared.home()?;
    let at = home.path().display();
    if !home.path().exists() {
        return Ok(Some(format!("there is no home at {at}")));
    }
    let key = || Ok(KeyDir::open(home.keys())?.address(agent)?);
    let Err(why) = keeper::owners(&home).and_then(|_| key()) else { return Ok(None) };
    let noted = Notes::readable(&shared.owner_home()?)?;
    let known = noted.adoptions().any(|adopted| adopted.agent == agent);
    Ok(known.then(|| format!("the home at {at} was emptied or is damaged ({})", why.message)))
}

/// A message that would end everything on the account.
#[derive(serde::Serialize)]
struct Message {
    file: PathBuf,
    /// Whether somebody prepared it, and it is not there because an end was not certain.
    prepared: bool,
}

impl Message {
    fn tell(&self) {
        let file = self.file.display();
        match self.prepared {
            true => {
                say!("{file}, which you prepared, ends everything on the account once it is sent")
            }
            false => say!(
                "{file} ends everything on the account once anybody sends it: delete it where it is needed \
                 no more"
            ),
        }
    }
}

async fn messages(shared: &Shared, site: &Site) -> Done<Vec<Message>> {
    let folder = shared.owner_home()?;
    let Ok(notes) = Notes::readable(&folder) else { return Ok(Vec::new()) };
    let of = (&folder, &notes);
    let Living { kept, prepared } = living(of, &site.rpc, &site.framework, site.account()).await;
    let message = |prepared| move |file| Message { file, prepared };
    Ok(kept
        .into_iter()
        .map(message(false))
        .chain(prepared.into_iter().map(message(true)))
        .collect())
}

/// Why the steward cannot use what stands: it reads the file in its home.
fn lost(site: &Site, delegated: &Permissions) -> Done<Option<String>> {
    let path = site.home.delegation(&site.agent);
    Ok(match site.delegated()? {
        Some(stated) if stated == *delegated => None,
        Some(_) => Some(format!("{} is not what stands", path.display())),
        None => Some(format!("{} is not there", path.display())),
    })
}

/// What an account has of the chain's coin, where that is none of what is delegated.
async fn coins(site: &Site, delegated: &Permissions) -> Done<Option<Money>> {
    if delegated.grants.iter().any(|grant| grant.asset.is_native()) {
        return Ok(None);
    }
    let coins = site.rpc.balance(delegated.account).await?;
    let coin = AssetId::native(site.framework.chain);
    Ok(Some(Money::new(coins, coin)).filter(|coins| !coins.units.is_zero()))
}

/// What all agents may take where some have other limits for all together than this one: the sums of limits
/// that count apart.
async fn together(
    site: &Site,
    delegated: &Permissions,
    standing: &Standing,
    beside: &[(String, Permissions)],
) -> Done<Vec<(String, Money)>> {
    let mut sums: Vec<(String, Money)> = Vec::new();
    if beside.is_empty() {
        return Ok(sums);
    }
    let mut counted = Vec::new();
    let mut others = Vec::new();
    for (_, other) in beside {
        others.push(other.standing(&site.rpc).await?);
    }
    let all = [delegated].into_iter().chain(beside.iter().map(|(_, other)| other));
    for (permissions, standing) in all.zip([standing].into_iter().chain(&others)) {
        for grant in permissions.unsigned() {
            let Some(link) = grant.link.map(|link| link.hash()) else { continue };
            if counted.contains(&link) {
                continue;
            }
            counted.push(link);
            let windows = standing.assets.iter().filter(|it| it.asset == grant.asset);
            for Used { rule, limit, .. } in windows.flat_map(|it| &it.windows) {
                if !rule.starts_with("owner.") || rule.ends_with(".payment") {
                    continue;
                }
                match sums.iter_mut().find(|(of, sum)| of == rule && sum.asset == limit.asset) {
                    Some((_, sum)) => sum.units = sum.units.saturating_add(limit.units),
                    None => sums.push((rule.clone(), *limit)),
                }
            }
        }
    }
    Ok(sums)
}

/// What a rotation of the owner has left behind, where there was one.
fn succeeded(site: &Site, now: Option<Address>, left: &[Holding]) {
    let owner = site.policy.owner;
    if let Some(now) = now.filter(|now| *now != owner) {
        say!(
            "the account is that of {owner}; the owner in force is {now}, whose key does not move it"
        );
        say!("  end what is delegated and withdraw with the old key: --owner-home DIR");
    }
    for holding in left {
        say!("{}", site.told_of(holding));
    }
}

fn tell(
    site: &Site,
    (delegated, standing): (&Permissions, &Standing),
    coins: Option<Money>,
    drift: &[Drift],
) {
    let (policy, agent) = (&site.policy, &site.agent);
    say!("the account {} on eip155:{}", delegated.account, site.framework.chain);
    if let Some(coins) = coins {
        say!("  it holds {}, which is not delegated to {agent}", policy.show(coins));
    }
    for it in &standing.assets {
        let over = if it.revoked { ", revoked" } else { "" };
        say!(
            "  it holds {}, {agent}'s key {}{over}",
            policy.show(it.account),
            policy.show(it.float)
        );
        if let Some(float) = policy.floats.get(&it.asset) {
            let show = |units| policy.show(Money::new(units, it.asset));
            say!("  which the steward keeps between {} and {}", show(float.low), show(float.high));
        } else if !standing.is_over() {
            let name = policy.asset(it.asset).map_or("ASSET", |(name, _)| name);
            say!("  the policy has no [float.{name}]: its steward draws nothing of it");
        }
        // What no longer lets anything out has nothing left.
        let windows = if it.revoked || standing.is_over() { &[][..] } else { &it.windows };
        for Used { rule, used, limit } in windows {
            let says = match in_policy(policy, it.asset, rule) {
                Some(said) if said == *limit => String::new(),
                Some(said) => format!("; the policy says {}", policy.show(said)),
                None => "; the policy says none".to_owned(),
            };
            if rule.ends_with(".payment") {
                say!("  {rule:<21} {:20}  each at most {}{says}", "", policy.show(*limit));
                continue;
            }
            let share = f64::from(used.units) / f64::from(limit.units).max(1.0);
            let left = Money::new(limit.units.saturating_sub(used.units), it.asset);
            say!(
                "  {rule:<21} {}  {} of {}, {} left{says}",
                bar(share),
                policy.show(*used),
                policy.show(*limit),
                policy.show(left)
            );
        }
    }
    for host in &standing.silent {
        say!("{host} did not answer, and may say otherwise");
    }
    if standing.disputed {
        say!("the endpoints do not say the same; what one of them calls alive is told as alive");
    }
    if standing.paused {
        say!("the DelegationManager is paused by its makers: nothing moves until it is not");
    }
    match (standing.ended, standing.expired) {
        _ if standing.is_over() && !standing.silent.is_empty() => {
            say!(
                "those that answered say that it is over; whether anything can be drawn is not known while {} \
                 does not answer",
                standing.silent.join(", ")
            );
        }
        (true, _) => say!("all delegations of the account were ended: nothing can be drawn"),
        (_, true) => say!("its time is over: nothing can be drawn"),
        _ if standing.is_over() => say!("it was revoked: nothing can be drawn"),
        _ if standing.assets.iter().any(|asset| asset.revoked) => {
            say!("a part of it was revoked, and the rest can be drawn");
            say!("  marque account revoke {agent} ends the rest");
        }
        _ if drift.is_empty() => {
            say!("the chain says what version {} of the policy says", policy.version);
        }
        _ => {
            say!("the chain does not say what version {} of the policy says:", policy.version);
            for Drift { rule, chain, policy } in drift {
                let said = |it: &Option<String>| it.clone().unwrap_or_else(|| "nothing".to_owned());
                let (chain, policy) = match rule.as_str() {
                    "expires" => (date(chain.as_ref()), date(policy.as_ref())),
                    _ => (said(chain), said(policy)),
                };
                say!("  {rule}: {chain} on chain, {policy} in the policy");
            }
        }
    }
    if standing.is_over() || !drift.is_empty() {
        say!("  marque account delegate {agent} signs what the policy says now");
    }
}

/// What a policy says where the chain has a limit.
fn in_policy(policy: &Policy, asset: AssetId, rule: &str) -> Option<Money> {
    let (path, kind) = rule.rsplit_once('.')?;
    let section = match path {
        "limits" => &policy.limits,
        _ => &policy.owner_limits,
    };
    let limits = section.get(&asset)?;
    let units = match kind {
        "payment" => match policy.floats.get(&asset).filter(|_| path == "limits") {
            Some(float) => Some(float.high),
            None => limits.payment,
        },
        _ => limits.windows().find(|(name, ..)| *name == kind).map(|(.., units)| units),
    };
    units.map(|units| Money::new(units, asset))
}

/// Unix seconds as people read them.
pub(super) fn moment(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    time.map_or_else(|| format!("second {seconds}"), |time| time.to_string())
}

fn date(seconds: Option<&String>) -> String {
    seconds.and_then(|text| text.parse().ok()).map_or_else(|| "never".to_owned(), moment)
}
