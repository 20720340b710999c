//! `marque policy new`: a few questions, and a policy to start from.
//!
//! Every question has an option, so that a script asks nothing. What no option and nobody at a
//! terminal answers is as the kind of policy usually has it.

use super::{address, draft::known};
use crate::{
    commands::{
        Shared,
        new::{DevnetFile, devnet_file},
    },
    failure::{Context as _, Done, Failure},
    story::say,
};
use alloy_primitives::{Address, U256};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use marque::{
    drafts::PolicyFiles,
    economy::{DECIMALS, DOLLAR, DOLLAR_DOMAIN},
    home::Home,
    owner::Owner,
};
use marque_policies::{
    DraftFloat, DraftKind, DraftLimits, DraftParams, DraftPayee, Pin, Sources, draft_sources,
    money::{format_units, parse_units},
    parse,
};
use std::{
    io::{BufRead, IsTerminal as _, Write},
    path::PathBuf,
    process::ExitCode,
};

#[derive(Debug, clap::Args)]
pub(crate) struct NewArgs {
    /// An agent of this home, or a file to write: policy.toml.
    target: String,
    /// What the agent is for.
    #[arg(long = "for", value_name = "KIND", value_parser = kinds())]
    kind: Option<DraftKind>,
    #[command(flatten)]
    answers: Answers,
    /// The owner's address; else that of the key in the owner's home.
    #[arg(long, value_name = "ADDRESS", value_parser = address::owner)]
    owner_address: Option<Address>,
    /// Replace a draft that is there.
    #[arg(long)]
    force: bool,
}

/// The chain that a devnet has, and a draft of which nothing else is known.
const DEVNET: u64 = 31_337;

/// What a draft is filled in with.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Answers {
    /// Whom it may pay: NAME=ADDRESS, or NAME=ADDRESS@HOST where a host asks for the money. May be
    /// given several times.
    #[arg(long, value_name = "PAYEE", value_parser = payee)]
    payee: Vec<DraftPayee>,
    /// The most of one payment, in units of the asset: 0.50.
    #[arg(long, value_name = "AMOUNT")]
    payment: Option<String>,
    /// The most of any 24 hours.
    #[arg(long, value_name = "AMOUNT")]
    day: Option<String>,
    /// You are asked before a payment above this; it is below the most of one payment.
    #[arg(long, value_name = "AMOUNT")]
    ask_above: Option<String>,
    /// What its key holds, where the rest waits in your account on chain: below LOW the steward draws
    /// on that, up to HIGH. Without it the steward draws nothing there.
    #[arg(long, value_name = "LOW..HIGH")]
    float: Option<String>,
    #[command(flatten)]
    ground: Ground,
}

/// The chain and the money of a draft; else those of this home's devnet, or places to fill in.
#[derive(Debug, Clone, Default, clap::Args)]
struct Ground {
    /// What the policy calls the chain.
    #[arg(long, value_name = "NAME", help_heading = "Chain and money")]
    chain_name: Option<String>,
    /// The chain's EIP-155 id.
    #[arg(long, value_name = "ID", help_heading = "Chain and money")]
    chain_id: Option<u64>,
    /// Whom the steward asks about the chain. May be given several times.
    #[arg(long, value_name = "URL", help_heading = "Chain and money")]
    rpc: Vec<String>,
    /// The token's contract.
    #[arg(long, value_name = "ADDRESS", value_parser = address::token, help_heading = "Chain and money")]
    token: Option<Address>,
    /// What the policy calls the token: USDC. It has 6 digits.
    #[arg(long, value_name = "NAME", help_heading = "Chain and money")]
    asset: Option<String>,
    /// The token's EIP-712 domain, NAME/VERSION: "USD Coin/2".
    #[arg(long, value_name = "DOMAIN", help_heading = "Chain and money", value_parser = domain)]
    token_domain: Option<(String, String)>,
}

fn domain(text: &str) -> Result<(String, String), String> {
    let (name, version) = text
        .rsplit_once('/')
        .ok_or_else(|| "a domain is NAME/VERSION: \"USD Coin/2\"".to_owned())?;
    Ok((name.to_owned(), version.to_owned()))
}

/// Reads the name of a kind of policy.
pub(crate) fn kinds() -> impl TypedValueParser<Value = DraftKind> {
    let values = DraftKind::ALL.map(|kind| PossibleValue::new(kind.name()).help(kind.about()));
    PossibleValuesParser::new(values).try_map(|name| {
        let kind = DraftKind::ALL.into_iter().find(|kind| kind.name() == name);
        kind.ok_or("there is no such kind of policy")
    })
}

/// Reads `feed=0x..@feed.example`.
fn payee(text: &str) -> Result<DraftPayee, String> {
    let wrong =
        || "a payee is NAME=ADDRESS or NAME=ADDRESS@HOST: feed=0x..@feed.example".to_owned();
    let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
    let (address, host) = match rest.split_once('@') {
        Some((address, host)) => (address, Some(host.to_owned())),
        None => (rest, None),
    };
    let address = address::read(name, address)?;
    Ok(DraftPayee { name: name.to_owned(), pin: Pin::Address(address), host, so_far: None })
}

pub(crate) fn run(shared: &Shared, args: NewArgs) -> Done<ExitCode> {
    let home = shared.home()?;
    let (files, version) = target(&home, &args.target)?;
    let replaced = [Some(&files.policy), files.cedar.as_ref()];
    if let Some(path) = replaced.into_iter().flatten().find(|path| path.exists())
        && !args.force
    {
        return Err(Failure::usage(format!("{} is there already", path.display()))
            .help("give --force to replace it, or write to another file"));
    }
    let owner = match args.owner_address {
        Some(owner) => owner,
        None => Owner::address_in(&shared.owner_home()?).map_err(|error| {
            Failure::new(error)
                .help("make the owner's key first (marque owner init), or give --owner-address")
        })?,
    };
    let devnet = devnet_file(&home)?;
    let asks = !shared.json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let (kind, answers) = if asks {
        interview(&mut std::io::stdin().lock(), &mut std::io::stderr(), args.kind, args.answers)?
    } else {
        let kind = args.kind.ok_or_else(|| {
            let names = DraftKind::ALL.map(DraftKind::name).join(", ");
            Failure::usage("say what the agent is for with --for").help(format!("one of {names}"))
        })?;
        (kind, args.answers)
    };
    let (params, notes) = params(owner, devnet.as_ref(), kind, &answers)?;
    let sources = of_version(version, draft_sources(kind, &params));
    // A token that is still to be filled in is no mistake yet.
    let unfilled = params.token.is_zero();
    let token = if unfilled { Address::repeat_byte(0xee) } else { params.token };
    let filled = of_version(version, draft_sources(kind, &DraftParams { token, ..params }));
    vet(&filled)?;
    let left = files.cedar.as_ref().filter(|path| filled.cedar.is_none() && path.exists());
    if let Some(left) = left {
        return Err(Failure::usage(format!(
            "{} would stay beside the new policy, which has none",
            left.display()
        ))
        .help("remove it yourself first, or write to another file"));
    }
    let replaced: Vec<_> =
        replaced.into_iter().flatten().filter(|path| path.exists()).cloned().collect();
    files.write(&sources).map_err(Failure::new)?;
    let cedar = sources.cedar.is_some().then(|| files.path("policy.cedar"));
    if shared.json {
        say!(
            "{}",
            serde_json::json!({
                "kind": kind.name(), "policy": files.policy, "cedar": cedar, "unfilled": unfilled,
                "replaced": replaced, "notes": notes,
            })
        );
    } else {
        say!("{}: it {}", files.policy.display(), kind.about());
        if let Some(cedar) = cedar {
            say!("  {} says what it must not do beyond that", cedar.display());
        }
        replaced.iter().for_each(|path| say!("  what was in {} is replaced", path.display()));
        notes.iter().for_each(|note| say!("  {note}"));
        if unfilled {
            say!("  nothing says which token: fill in chain and token in the draft");
        }
        // An agent's forbids are found by themselves, a file's are not.
        let with = cedar.filter(|_| args.target.ends_with(".toml"));
        let with = with.map_or_else(String::new, |cedar| format!(" --cedar {}", cedar.display()));
        say!("  next: read it, then marque policy check {}{with}", args.target);
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the draft goes, and the version that it must have.
fn target(home: &Home, target: &str) -> Done<(PolicyFiles, u64)> {
    if target.ends_with(".toml") {
        let policy = PathBuf::from(target);
        let cedar = Some(policy.with_extension("cedar"));
        return Ok((PolicyFiles { policy, owner: None, cedar }, 1));
    }
    known(home, target).map_err(|failure| {
        failure.help(format!("make it (marque new {target}), or give a file: policy.toml"))
    })?;
    if home.shared_policy().exists() {
        // A ready-made policy is whole; it would say again what all agents share.
        return Err(Failure::usage(format!(
            "{} says already what all agents of this home share, and a ready-made policy is whole",
            home.shared_policy().display()
        ))
        .help(format!(
            "write one elsewhere, for example to {target}.toml, and copy what is not shared"
        )));
    }
    let adopted = super::draft::Named::adopted(home, target)?;
    let version = adopted.map_or(1, |adopted| adopted.policy.version.saturating_add(1));
    let (policy, cedar) = (home.policy(target), Some(home.forbids(target)));
    Ok((PolicyFiles { policy, owner: None, cedar }, version))
}

/// The same documents, as the version that may be adopted next.
fn of_version(version: u64, mut sources: Sources) -> Sources {
    if version > 1 {
        let line = format!("version = {version}");
        sources.policy = sources.policy.replacen("version = 1", &line, 1);
    }
    sources
}

/// Whether a draft reads.
fn vet(whole: &Sources) -> Done {
    parse(&whole.document()).map(drop).map_err(|error| {
        let mistake = error.mistake();
        let failure = Failure::new(format!("what you said makes no policy: {}", mistake.message));
        match &mistake.help {
            Some(help) => failure.help(help),
            None => failure,
        }
    })
}

/// What a draft needs to know: the devnet of this home where there is one and it is meant, else
/// what is to be filled in by hand. And what its owner did not say and should hear, in a line each.
pub(crate) fn params(
    owner: Address,
    devnet: Option<&DevnetFile>,
    kind: DraftKind,
    answers: &Answers,
) -> Done<(DraftParams, Vec<String>)> {
    let mut notes = Vec::new();
    let limits = limits(kind, answers, &mut notes)?;
    let float = answers.float.as_deref().map(|text| float(kind, text, limits)).transpose()?;
    // Another chain has another token, other endpoints and other payees.
    let meant = answers.ground.chain_id;
    let devnet = devnet.filter(|devnet| meant.is_none_or(|id| id == devnet.chain));
    let seller = devnet.and_then(|devnet| devnet.seller.as_ref());
    let mut payees = answers.payee.clone();
    if payees.is_empty() {
        let named = seller.filter(|_| limits.is_some());
        notes.extend(named.map(|seller| {
            format!("you named no payee: {}, the devnet's seller, is in it as one", seller.name)
        }));
        payees.extend(seller.map(|seller| DraftPayee {
            name: seller.name.clone(),
            pin: Pin::Agent {
                id: U256::from(seller.agent_id),
                owner: seller.owner,
                wallet: seller.wallet,
            },
            host: Some(seller.host.clone()),
            so_far: None,
        }));
    }
    let hosts: Vec<String> = payees.iter().filter_map(|payee| payee.host.clone()).collect();
    let Ground { chain_name, chain_id, rpc, token, asset, token_domain } = answers.ground.clone();
    let local = || vec![devnet.map_or("http://127.0.0.1:8545".into(), |devnet| devnet.rpc.clone())];
    let (name, version) = DOLLAR_DOMAIN;
    let chain_id = chain_id.unwrap_or(devnet.map_or(DEVNET, |devnet| devnet.chain));
    let elsewhere = devnet.is_none() && chain_id != DEVNET;
    if elsewhere && rpc.is_empty() {
        notes.push(format!("nothing says whom to ask about chain {chain_id}: fill in rpc"));
    }
    let params = DraftParams {
        owner,
        chain_name: chain_name.unwrap_or_else(|| match elsewhere {
            true => format!("chain-{chain_id}"),
            false => "devnet".to_owned(),
        }),
        chain_id,
        rpc: if rpc.is_empty() { local() } else { rpc },
        finality: "2".to_owned(),
        native: "ETH".to_owned(),
        registry: devnet.map(|devnet| devnet.registry),
        asset: asset.unwrap_or_else(|| DOLLAR.to_owned()),
        token: token.unwrap_or(devnet.map_or(Address::ZERO, |devnet| devnet.dollar)),
        token_domain: token_domain.unwrap_or_else(|| (name.to_owned(), version.to_owned())),
        decimals: DECIMALS,
        limits,
        float,
        payees,
        data_hosts: hosts.clone(),
        compute_hosts: hosts,
    };
    Ok((params, notes))
}

/// The limits that were named, and the usual ones for the rest as far as they fit.
fn limits(
    kind: DraftKind,
    answers: &Answers,
    notes: &mut Vec<String>,
) -> Done<Option<DraftLimits>> {
    let Answers { payment, day, ask_above, .. } = answers;
    let Some(usual) = kind.usual(DECIMALS) else {
        return match payment.as_ref().or(day.as_ref()).or(ask_above.as_ref()) {
            Some(_) => Err(Failure::usage(format!("a policy \"{}\" pays nobody", kind.name()))
                .help("leave --payment, --day and --ask-above out, or choose another --for")),
            None => Ok(None),
        };
    };
    let read = |text: &Option<String>, usual: U256| match text {
        Some(text) => amount(text),
        None => Ok(usual),
    };
    let units = |units: U256| format_units(units, DECIMALS);
    let day = read(day, usual.day)?;
    let payment = read(payment, usual.payment.min(day))?;
    if payment > day {
        let (payment, day) = (units(payment), units(day));
        return Err(Failure::usage(format!("one payment of {payment} is above the day's {day}"))
            .help("give a lower --payment or a higher --day"));
    }
    let ask_above = match ask_above {
        Some(text) => {
            let said = amount(text)?;
            if said >= payment {
                return Err(Failure::usage(asks_never(said, payment))
                    .help("give a lower --ask-above or a higher --payment and --day"));
            }
            said
        }
        None => {
            let (fits, usual) = (asks_above(payment, usual.ask_above), usual.ask_above);
            if fits != usual {
                let (usual, most) = (units(usual), units(payment));
                let instead = match fits < payment {
                    true => format!("you are asked above {} instead", units(fits)),
                    false => "you are never asked".to_owned(),
                };
                notes.push(format!(
                    "the usual ask_above of {usual} is not below the most of one payment, {most}: \
                     {instead}"
                ));
            }
            fits
        }
    };
    Ok(Some(DraftLimits { payment, day, ask_above }))
}

/// Reads `1.00..3.00`.
fn float(kind: DraftKind, text: &str, limits: Option<DraftLimits>) -> Done<DraftFloat> {
    let Some(limits @ DraftLimits { payment, .. }) = limits else {
        return Err(Failure::usage(format!("a policy \"{}\" pays nobody", kind.name()))
            .help("leave --float out, or choose another --for"));
    };
    let wrong =
        |why: String, help: &str| Err(Failure::usage(format!("--float {text}: {why}")).help(help));
    let Some((low, high)) = text.split_once("..") else {
        return wrong("it has no two marks".to_owned(), "write LOW..HIGH: 1.00..3.00");
    };
    let (low, high) = (amount(low)?, amount(high)?);
    if low >= high {
        let help = "what lies between the two is drawn at once: the more, the fewer fees";
        return wrong("the first is not below the second".to_owned(), help);
    }
    if high < payment {
        let payment = format_units(payment, DECIMALS);
        let why = format!("one payment may be {payment}, which this float never holds");
        return wrong(why, "give a higher second mark, or a lower --payment");
    }
    if high > limits.total() {
        let why =
            format!("{} is all that may ever be spent", format_units(limits.total(), DECIMALS));
        return wrong(why, "give a lower second mark, or a higher --day");
    }
    Ok(DraftFloat { low, high })
}

/// What is usually asked about where one payment is at most `payment`: half of it, where the usual
/// amount would be reached by none.
fn asks_above(payment: U256, usual: U256) -> U256 {
    if usual < payment { usual } else { payment / U256::from(2) }
}

/// Why nobody would ever be asked.
fn asks_never(ask_above: U256, payment: U256) -> String {
    let [ask_above, payment] = [ask_above, payment].map(|units| format_units(units, DECIMALS));
    format!("to ask above {ask_above} asks never, as one payment is at most {payment}")
}

fn amount(text: &str) -> Done<U256> {
    parse_units(text, DECIMALS).map_err(|error| {
        Failure::usage(format!("\"{text}\": {error}"))
            .help(format!("an amount is a number of {DOLLAR}: 2.50"))
    })
}

/// Asks for what no option has said.
fn interview(
    input: &mut impl BufRead,
    output: &mut impl Write,
    kind: Option<DraftKind>,
    mut answers: Answers,
) -> Done<(DraftKind, Answers)> {
    let kind = match kind {
        Some(kind) => kind,
        None => {
            let lines = DraftKind::ALL.iter().enumerate();
            let lines = lines
                .map(|(at, kind)| format!("  {}  {:<14} {}\n", at + 1, kind.name(), kind.about()));
            let question =
                format!("What is the agent for?\n{}Number or name", lines.collect::<String>());
            ask(
                input,
                output,
                &question,
                DraftKind::ALL.first().map_or("", |kind| kind.name()),
                |said| {
                    let numbered = said.parse::<usize>().ok().and_then(|at| at.checked_sub(1));
                    let numbered = numbered.and_then(|at| DraftKind::ALL.get(at).copied());
                    let named = DraftKind::ALL.into_iter().find(|kind| kind.name() == said);
                    numbered.or(named).ok_or_else(|| "choose one of the list".to_owned())
                },
            )?
        }
    };
    let Some(usual) = kind.usual(DECIMALS) else { return Ok((kind, answers)) };
    if answers.payee.is_empty() {
        let question = "Whom may it pay? NAME=ADDRESS@HOST, an empty line ends";
        while let Some(next) = ask(input, output, question, "", |said| match said {
            "" => Ok(None),
            said => payee(said).map(Some),
        })? {
            answers.payee.push(next);
        }
    }
    type Fits<'a> = &'a dyn Fn(U256) -> Result<(), String>;
    let mut limit =
        |answer: &mut Option<String>, question: &str, usual: U256, fits: Fits| -> Done {
            if answer.is_none() {
                let usual = format_units(usual, DECIMALS);
                let said = ask(input, output, question, &usual, |said| match amount(said) {
                    Ok(units) => fits(units).map(|()| said.to_owned()),
                    Err(failure) => Err(failure.message),
                })?;
                *answer = Some(said);
            }
            Ok(())
        };
    limit(
        &mut answers.day,
        &format!("How many {DOLLAR} may it spend in any 24 hours"),
        usual.day,
        &|_| Ok(()),
    )?;
    let day = answers.day.as_deref().map_or(Ok(usual.day), amount)?;
    let payment = answers.payment.as_deref().map_or(Ok(usual.payment.min(day)), amount)?;
    // Where nothing may be paid there is nothing to ask about.
    if !payment.is_zero() {
        limit(
            &mut answers.ask_above,
            "Above which amount does it ask you before it pays",
            asks_above(payment, usual.ask_above),
            &|said| if said < payment { Ok(()) } else { Err(asks_never(said, payment)) },
        )?;
    }
    Ok((kind, answers))
}

/// Asks until the answer can be read; an empty one stands for what is usual.
fn ask<T>(
    input: &mut impl BufRead,
    output: &mut impl Write,
    question: &str,
    usual: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Done<T> {
    loop {
        match usual {
            "" => write!(output, "{question}: "),
            usual => write!(output, "{question} [{usual}]: "),
        }
        .and_then(|()| output.flush())
        .doing("the question")?;
        let mut line = String::new();
        if input.read_line(&mut line).doing("the answer")? == 0 {
            return Err(Failure::usage("the questions were not answered")
                .help("each has an option: marque policy new --help"));
        }
        let said = match line.trim() {
            "" => usual,
            said => said,
        };
        match read(said) {
            Ok(answer) => return Ok(answer),
            Err(why) => writeln!(output, "  {why}").doing("the question")?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interview_with(said: &str) -> (Done<(DraftKind, Answers)>, String) {
        let mut shown = Vec::new();
        let result = interview(&mut said.as_bytes(), &mut shown, None, Answers::default());
        (result, String::from_utf8(shown).unwrap())
    }

    #[test]
    fn the_questions_make_a_policy_and_an_answer_that_cannot_be_read_is_asked_again() {
        let address = Address::repeat_byte(7);
        let said = format!("9\n2\nfeed\nfeed={address}@feed.example\n\n3\n1,5\n0.25\n0.20\n");
        let (result, shown) = interview_with(&said);
        let (kind, answers) = result.unwrap();
        assert_eq!(kind, DraftKind::DataBuyer);
        assert_eq!(answers.payee[0].host.as_deref(), Some("feed.example"));
        assert!(shown.contains("choose one of the list") && shown.contains("a payee is NAME="));
        let (params, notes) = params(address, None, kind, &answers).unwrap();
        assert!(notes.is_empty(), "{notes:?}");
        let limits = params.limits.unwrap();
        assert_eq!((limits.day, limits.ask_above), (U256::from(3_000_000), U256::from(200_000)));
        assert!(shown.contains("to ask above 0.25 asks never"), "{shown}");
        let params = DraftParams { token: address, ..params };
        let (policy, warnings) = parse(&draft_sources(kind, &params).document()).unwrap();
        assert!(warnings.is_empty() && policy.payees.contains_key("feed"));
    }

    #[test]
    fn empty_answers_are_the_usual_ones_and_an_end_of_input_is_none() {
        let (result, _) = interview_with("\n\n\n\n");
        let (kind, answers) = result.unwrap();
        assert_eq!(kind, DraftKind::Buyer);
        let mut notes = Vec::new();
        let usual = limits(kind, &Answers::default(), &mut notes).unwrap();
        assert_eq!(limits(kind, &answers, &mut notes).unwrap(), usual);
        assert!(notes.is_empty(), "{notes:?}");
        assert!(interview_with("seller\n").0.unwrap().1.day.is_none(), "a seller spends nothing");
        assert_eq!(interview_with("buyer\n").0.unwrap_err().code, 2);
    }

    #[test]
    fn a_float_is_two_marks_between_which_a_payment_fits() {
        let of = |text: &str, kind| {
            let answers = Answers { float: Some(text.to_owned()), ..Answers::default() };
            params(Address::repeat_byte(1), None, kind, &answers).map(|(params, _)| params.float)
        };
        let float = of("1..3.00", DraftKind::Buyer).unwrap().unwrap();
        assert_eq!((float.low, float.high), (U256::from(1_000_000), U256::from(3_000_000)));
        for (text, kind, why) in [
            ("3", DraftKind::Buyer, "no two marks"),
            ("3..3", DraftKind::Buyer, "not below"),
            ("0.10..0.50", DraftKind::Buyer, "one payment may be 1.00"),
            ("1..201", DraftKind::Buyer, "200.00 is all that may ever be spent"),
            ("1..x", DraftKind::Buyer, "is not an amount"),
            ("1..3", DraftKind::Seller, "pays nobody"),
        ] {
            let failure = of(text, kind).unwrap_err();
            assert!(failure.code == 2 && failure.message.contains(why), "{}", failure.message);
        }
    }

    #[test]
    fn a_devnet_is_not_taken_for_another_chain_and_what_nobody_said_is_told() {
        let [owner, dollar] = [1, 2].map(Address::repeat_byte);
        let host = "127.0.0.1:9".to_owned();
        let seller = crate::commands::new::SellerEntry {
            name: "feed".to_owned(),
            agent_id: 1,
            owner,
            wallet: owner,
            host,
            sells: String::new(),
        };
        let rpc = "http://127.0.0.1:7".to_owned();
        let devnet = DevnetFile { chain: 5, rpc, dollar, registry: owner, seller: Some(seller) };
        let of = |answers: &Answers, kind| params(owner, Some(&devnet), kind, answers).unwrap();
        let mut answers = Answers::default();
        let (here, notes) = of(&answers, DraftKind::Buyer);
        assert!(here.token == dollar && here.payees.len() == 1 && here.chain_name == "devnet");
        assert!(notes.len() == 1 && notes[0].contains("feed"), "{notes:?}");
        assert!(of(&answers, DraftKind::Seller).1.is_empty(), "a seller pays nobody");
        answers.ground.chain_id = Some(8453);
        let (there, notes) = of(&answers, DraftKind::Buyer);
        assert!(there.token.is_zero() && there.payees.is_empty() && there.registry.is_none());
        assert!(there.rpc != here.rpc && there.chain_name == "chain-8453");
        assert!(notes.len() == 1 && notes[0].contains("rpc"), "{notes:?}");
    }
}
