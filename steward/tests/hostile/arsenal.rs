//! Messages: by grammar, then broken.

use crate::support::{CHAIN, key, owner};
use alloy_primitives::{Address, B256, U256};
use marque_identity_keys::sign_statement;
use marque_policies::{
    AssetId, Intent, IntentId, Label, Labels, Money, Statement,
    intent::{
        AcceptWallet, Authorise, Fetch, PermitTransfer, PermitVia, Settle, SettlePermit, Sweep,
        ToolUse, Transfer,
    },
};
use marque_steward_client::{Ask, MAX_FRAME, Note, Proposal, Report, Request, Said};
use serde_json::{Value, json};

/// What goes on the wire, and whether the connection is over with it.
#[derive(Debug)]
pub(crate) struct Shot {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ends: bool,
}

/// A stream of numbers that one seed repeats (splitmix64).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound.max(1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        let place = self.below(of.len() as u64);
        of[usize::try_from(place).unwrap()].clone()
    }
}

/// An attacker who knows everything that there is to know.
#[derive(Debug)]
pub(crate) struct Arsenal {
    dice: Dice,
    origin: B256,
    agent: Address,
    shop: Address,
    token: Address,
    seq: u64,
}

impl Arsenal {
    pub(crate) fn new(
        seed: u64,
        origin: B256,
        agent: Address,
        shop: Address,
        token: Address,
    ) -> Self {
        Self { dice: Dice(seed), origin, agent, shop, token, seq: 0 }
    }

    /// The next message.
    pub(crate) fn next(&mut self) -> Shot {
        let ask = self.ask();
        self.seq = if self.dice.one_in(10) { self.dice.roll() } else { self.seq + 1 };
        let v = if self.dice.one_in(40) { self.dice.pick(&[0, 2, 65_535]) } else { 1 };
        let request = Request { v, seq: self.seq, ask };
        match self.dice.below(10) {
            0..=4 => framed(serde_json::to_vec(&request).unwrap()),
            5 | 6 => {
                let mut value = serde_json::to_value(&request).unwrap();
                for _ in 0..=self.dice.below(3) {
                    self.twist(&mut value);
                }
                framed(serde_json::to_vec(&value).unwrap())
            }
            7 | 8 => {
                let mut bytes = serde_json::to_vec(&request).unwrap();
                for _ in 0..=self.dice.below(4) {
                    self.scratch(&mut bytes);
                }
                framed(bytes)
            }
            _ => self.lie(&request),
        }
    }

    fn ask(&mut self) -> Ask {
        match self.dice.below(4_000) {
            0 => Ask::Freeze { reason: self.words() },
            1..=20 => Ask::View,
            21..=400 => Ask::Wait { intent: self.id(), timeout_ms: self.dice.below(3) },
            401..=600 => Ask::Note(Note {
                task: self.task(),
                step: self.small(),
                what: self.words(),
                commitment: B256::repeat_byte(7),
            }),
            601..=900 => Ask::Report(Report { intent: self.id(), said: self.said() }),
            901..=1_200 => Ask::Submit(Box::new(self.act())),
            _ => Ask::Propose(Proposal {
                task: self.task(),
                step: self.small(),
                ordinal: self.small() % 2,
                attempt: self.dice.pick(&[0, 0, 0, 0, 0, 1, 2, u32::MAX]),
                intent: self.intent(),
            }),
        }
    }

    fn said(&mut self) -> Said {
        match self.dice.below(3) {
            0 => Said::Settled { transaction: B256::repeat_byte(9), amount: None },
            1 => Said::Delivered { body: B256::repeat_byte(9) },
            _ => Said::Undelivered { why: self.words() },
        }
    }

    fn intent(&mut self) -> Intent {
        let labels = Labels(
            self.dice
                .pick(&[
                    Vec::new(),
                    vec![Label::Owner, Label::Policy],
                    vec![Label::Web("evil.example".to_owned())],
                ])
                .into_iter()
                .collect(),
        );
        let (to, amount) = (self.address(), self.money());
        let payee = self.dice.pick(&["shop", "shop", "shop", "shop", "Shop", "", "owner", "ѕhop"]);
        let host = self.dice.pick(&["shop.example", "shop.example", "shop.example.", "127.0.0.1"]);
        // Permits often enough that a small run signs some.
        match self.dice.below(36) {
            20..=22 | 26..=35 => Intent::PermitTransfer(PermitTransfer {
                payee: payee.to_owned(),
                to,
                amount,
                host: host.to_owned(),
                resource: format!("https://{host}/{}", self.words()),
                via: self.via(),
                labels,
            }),
            23 if self.dice.below(2) == 0 => Intent::Refill { amount },
            23 => Intent::ApprovePermit2 { amount },
            24 => Intent::InvalidatePermit { intent: self.id() },
            25 => Intent::SettlePermit(SettlePermit {
                from: to,
                to: self.address(),
                amount,
                charge: self.money(),
                via: self.via(),
                valid_after: self.dice.pick(&[0, u64::MAX]),
                deadline: self.dice.pick(&[0, 4_000_000_000, u64::MAX]),
                nonce: self.dice.pick(&[U256::ZERO, U256::MAX, U256::from(7)]),
                signature: self.dice.pick(&["0x".to_owned(), format!("0x{}", "11".repeat(65))]),
                resource: self.words(),
            }),
            0..=8 => Intent::Authorise(Authorise {
                payee: payee.to_owned(),
                to,
                amount,
                host: host.to_owned(),
                resource: format!("https://{host}/{}", self.words()),
                labels,
            }),
            9..=11 => Intent::Transfer(Transfer { payee: payee.to_owned(), to, amount, labels }),
            12 => Intent::Sweep(Sweep { amount }),
            13 | 14 => Intent::Settle(Settle {
                from: to,
                to: self.address(),
                amount,
                valid_after: self.dice.pick(&[0, u64::MAX]),
                valid_before: self.dice.pick(&[0, 4_000_000_000, u64::MAX]),
                nonce: B256::repeat_byte(u8::try_from(self.dice.below(9)).unwrap()),
                signature: self.dice.pick(&["0x".to_owned(), format!("0x{}", "11".repeat(65))]),
                resource: self.words(),
            }),
            15 => Intent::AcceptWallet(AcceptWallet {
                chain: CHAIN,
                registry: to,
                agent_id: U256::from(self.dice.below(3)),
                owner: owner().address(),
            }),
            _ => Intent::Tool(ToolUse {
                tool: self.dice.pick(&["fetch_data", "shell", ""]).to_owned(),
                fetch: (!self.dice.one_in(3)).then(|| Fetch {
                    method: self.dice.pick(&["GET", "POST", "CONNECT", ""]).to_owned(),
                    host: host.to_owned(),
                    path: "/data".to_owned(),
                    bytes_out: self.dice.pick(&[0, 40, u64::MAX]),
                }),
                arguments: Default::default(),
                labels,
            }),
        }
    }

    fn via(&mut self) -> PermitVia {
        if self.dice.one_in(3) {
            PermitVia::Exact
        } else {
            PermitVia::Upto { facilitator: self.address() }
        }
    }

    /// Acts of an owner that no owner signed, or signed for another matter.
    fn act(&mut self) -> marque_policies::SignedStatement {
        let by = if self.dice.one_in(2) { key(9) } else { key(2) };
        let (agent, body) = ("scout".to_owned(), B256::repeat_byte(5));
        let statement = match self.dice.below(6) {
            0 => Statement::Approve {
                agent,
                intent: self.id(),
                body,
                version: 1,
                deadline: u64::MAX,
            },
            1 => Statement::Deny { agent, intent: self.id(), body },
            2 => Statement::Thaw { frozen_at: self.dice.below(50) },
            3 => Statement::Enroll { agent, key: by.address() },
            4 => Statement::Genesis {
                owner: by.address(),
                chain_genesis: body,
                log_key: B256::repeat_byte(1),
            },
            _ => Statement::Adopt { agent, version: 2, policy: body },
        };
        // The true owner's signature, made for another journal, is worth as little.
        let (by, origin) = if self.dice.one_in(4) {
            (owner(), B256::repeat_byte(0x77))
        } else {
            (by, self.origin)
        };
        let document = self.dice.one_in(3).then(|| crate::support::policy(2));
        sign_statement(&by, statement, CHAIN, origin, document)
    }

    fn money(&mut self) -> Money {
        let units = match self.dice.below(12) {
            0 => U256::ZERO,
            1 => U256::MAX,
            2 => U256::from(u64::MAX),
            3 => U256::from(500_001),
            4 => U256::from(1_000_001),
            5 => U256::from(self.dice.below(500_000)),
            _ => U256::from(1 + self.dice.below(2_000)),
        };
        let token = self.dice.pick(&[
            self.token,
            self.token,
            self.token,
            self.token,
            self.token,
            Address::ZERO,
            self.shop,
        ]);
        let chain = if self.dice.one_in(20) { 1 } else { CHAIN };
        Money::new(units, AssetId { chain, token })
    }

    fn address(&mut self) -> Address {
        let thief = Address::repeat_byte(0x66);
        let known = [self.shop, self.shop, self.shop, thief, self.agent, owner().address()];
        self.dice.pick(&known)
    }

    fn task(&mut self) -> String {
        match self.dice.below(60) {
            0 => "x".repeat(200),
            1 => String::new(),
            2 => "\u{202e}task\0\n".to_owned(),
            _ => format!("task-{}", self.dice.below(1 + self.seq / 4)),
        }
    }

    fn small(&mut self) -> u32 {
        u32::try_from(self.dice.below(4)).unwrap()
    }

    fn id(&mut self) -> IntentId {
        let (task, step) = (self.task(), self.small());
        IntentId::derive(self.origin, "scout", &task, step, 0, 0)
    }

    fn words(&mut self) -> String {
        let length = if self.dice.one_in(50) { 9_000 } else { 9 };
        self.dice.pick(&["a", "\u{1f4b8}", "\\u0000", "</script>", "' OR 1=1"]).repeat(length)
    }

    /// Breaks a value somewhere, and leaves it JSON.
    fn twist(&mut self, value: &mut Value) {
        let inside = match value {
            Value::Object(map) if !map.is_empty() && !self.dice.one_in(4) => {
                let keys: Vec<String> = map.keys().cloned().collect();
                let chosen = self.dice.pick(&keys);
                if self.dice.one_in(6) {
                    let taken = map.remove(&chosen).unwrap();
                    let other = self.dice.pick(&["to", "amount", "sign_hash", "permit", "ask"]);
                    map.insert(other.to_owned(), taken);
                    return;
                }
                map.get_mut(&chosen)
            }
            Value::Array(list) if !list.is_empty() => list.first_mut(),
            _ => None,
        };
        match inside {
            Some(inside) => self.twist(inside),
            None => *value = self.strange(),
        }
    }

    fn strange(&mut self) -> Value {
        match self.dice.below(9) {
            0 => json!(-1),
            1 => json!(1e308),
            2 => json!("-1"),
            3 => json!("0x10"),
            4 => json!(" 1 "),
            5 => json!(null),
            6 => (0..200).fold(json!(1), |inner, _| json!([inner])),
            7 => json!({ "kind": "authorise" }),
            _ => json!("9".repeat(400)),
        }
    }

    /// Breaks bytes somewhere.
    fn scratch(&mut self, bytes: &mut Vec<u8>) {
        let length = bytes.len() as u64;
        let at = usize::try_from(self.dice.below(length)).unwrap();
        match self.dice.below(5) {
            0 => bytes.truncate(at),
            1 => {
                let piece = bytes.get(at..(at + 40).min(bytes.len())).unwrap_or_default().to_vec();
                bytes.splice(at..at, piece);
            }
            2 => bytes.insert(at, b'['),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.dice.below(8);
                }
            }
        }
        if bytes.is_empty() {
            bytes.push(b'{');
        }
    }

    /// Frames that are not what they say, and questions too deep or too long to be any.
    fn lie(&mut self, request: &Request) -> Shot {
        let bytes = serde_json::to_vec(request).unwrap();
        let claim = |length: u32, bytes: &[u8]| {
            let mut shot = length.to_be_bytes().to_vec();
            shot.extend_from_slice(bytes);
            Shot { bytes: shot, ends: true }
        };
        let length = u32::try_from(bytes.len()).unwrap();
        match self.dice.below(24) {
            0 => claim(u32::MAX, &bytes),
            1 => claim(length + 1, &bytes),
            2 => claim(length.saturating_sub(9), &bytes),
            3 => Shot { bytes: vec![0, 0, 1], ends: true },
            4 => claim(u32::try_from(MAX_FRAME + 1).unwrap(), &bytes),
            5 | 6 => framed(vec![b'['; 20_000]),
            7 => framed(vec![b' '; MAX_FRAME]),
            8 => framed(vec![0xff; 64]),
            9..=12 => framed(Vec::new()),
            13..=16 => {
                let deep = format!("{{\"v\":1,\"seq\":1,\"ask\":{}", "{\"ask\":".repeat(3_000));
                framed(deep.into_bytes())
            }
            _ => {
                // The same key twice: which of them counts must not be a matter of taste.
                let text = String::from_utf8_lossy(&bytes).replacen(
                    "\"amount\":",
                    "\"amount\":{\"units\":\"1\"},\"amount\":",
                    1,
                );
                framed(text.into_bytes())
            }
        }
    }
}

fn framed(bytes: Vec<u8>) -> Shot {
    let mut shot = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    shot.extend(bytes);
    Shot { bytes: shot, ends: false }
}
