//! Whether the figures of a model agree with each other and with its tensors.
//!
//! Only what holds for every architecture is checked, and only figures that are there and written
//! as llama.cpp reads them: it says by itself which one it misses. Where a comment names a failure,
//! that is what llama.cpp would do.

use super::parse::TOKENS;
use super::source::Fault;
use super::{Header, Kind, Tensor, Value};

const MAX_LAYERS: u64 = 512; // LLAMA_MAX_LAYERS
const MAX_EXPERTS: u64 = 1_024; // LLAMA_MAX_EXPERTS
/// Positions are signed numbers of 32 bits.
const MAX_CONTEXT: u64 = (1 << 31) - 1;
/// Wider than any model, and small enough that no product of three figures overflows.
const MAX_FIGURE: u64 = 1 << 24;

/// Whether the file is a model at all, and all of one.
pub(super) fn check_that_it_is_a_model(header: &Header, tensors: u64) -> Result<(), Fault> {
    let no_model = |reason: &str| Err(Fault::NoModel(reason.to_owned()));
    match header.text("general.type") {
        Some("adapter") => return no_model("it is an adapter for another model"),
        Some("mmproj") => return no_model("it is the eye or ear of another model"),
        Some("imatrix") => return no_model("it holds statistics for quantising a model"),
        _ => {}
    }
    if let Some(Value::Number(_, parts)) = header.entries.get("split.count")
        && *parts > 1
    {
        // The hash of one file would then stand for several.
        return Err(Fault::NoModel(format!(
            "it is a part of {parts}; join them: llama-gguf-split --merge FIRST-PART WHOLE"
        )));
    }
    match tensors {
        0 => no_model("it holds no tensors"),
        _ => Ok(()),
    }
}

/// Whether the figures agree.
pub(super) fn check(header: &Header) -> Result<(), Fault> {
    check_layers(header)?;
    check_width(header)?;
    check_heads(header)?;
    check_experts(header)?;
    check_vocabulary(header)?;
    check_formats(header)?;
    check_numbers(header)
}

fn damaged<T>(reason: String) -> Result<T, Fault> {
    Err(Fault::Damaged(reason))
}

fn check_layers(header: &Header) -> Result<(), Fault> {
    let Some(layers) = header.figure("block_count") else { return Ok(()) };
    if !(1..=MAX_LAYERS).contains(&layers) {
        return damaged(format!("it claims {layers} layers")); // aborts
    }
    if let Some(extra) = header.figure("nextn_predict_layers").filter(|extra| *extra > layers) {
        return damaged(format!("it claims {layers} layers, {extra} of them to look ahead")); // aborts
    }
    let mut there = vec![false; usize::try_from(layers).unwrap_or(0)];
    for tensor in &header.tensors {
        let layer = tensor.name.strip_prefix("blk.").and_then(|rest| rest.split('.').next());
        let Some(layer) = layer.and_then(|layer| layer.parse::<usize>().ok()) else { continue };
        match there.get_mut(layer) {
            Some(there) => *there = true,
            None => {
                return damaged(format!("it claims {layers} layers, and has layer {layer}"));
            }
        }
    }
    match there.iter().position(|there| !there) {
        Some(missing) if there.contains(&true) => {
            damaged(format!("it claims {layers} layers, and layer {missing} has no tensors"))
        }
        _ => Ok(()),
    }
}

fn check_width(header: &Header) -> Result<(), Fault> {
    for name in ["context_length", "embedding_length", "feed_forward_length"] {
        match header.figure(name) {
            Some(0) => return damaged(format!("its {name} is 0")),
            Some(figure)
                if figure > if name == "context_length" { MAX_CONTEXT } else { MAX_FIGURE } =>
            {
                return damaged(format!("its {name} is {figure}"));
            }
            _ => {}
        }
    }
    let (Some(width), Some(table)) =
        (header.figure("embedding_length"), header.tensor("token_embd.weight"))
    else {
        return Ok(());
    };
    match table.dimensions.first() {
        Some(row) if *row != width && header.architecture != "wavtokenizer-dec" => {
            damaged(format!("its embedding_length is {width}, and its table has rows of {row}"))
        }
        _ => Ok(()),
    }
}

fn check_heads(header: &Header) -> Result<(), Fault> {
    let Some(layers) = header.figure("block_count") else { return Ok(()) };
    let Some(heads) = header.figures("attention.head_count", layers) else { return Ok(()) };
    let kv_heads = header.figures("attention.head_count_kv", layers);
    let width = header.figure("embedding_length").unwrap_or(MAX_FIGURE);
    for (layer, heads) in heads.iter().copied().enumerate() {
        if heads > width {
            return damaged(format!("it claims {heads} heads for a width of {width}"));
        }
        let kv = kv_heads.as_ref().and_then(|kv| kv.get(layer)).copied().unwrap_or(heads);
        // Layers without attention have none of one of them.
        if heads > 0 && kv > 0 && heads.checked_rem(kv) != Some(0) {
            return damaged(format!("its {heads} heads do not share {kv} heads of keys"));
        }
    }
    for name in ["attention.key_length", "attention.value_length", "rope.dimension_count"] {
        if let Some(figure) = header.figure(name).filter(|figure| *figure > MAX_FIGURE) {
            return damaged(format!("its {name} is {figure}"));
        }
    }
    Ok(())
}

/// llama.cpp aborts on each of these.
fn check_experts(header: &Header) -> Result<(), Fault> {
    let Some(layers) = header.figure("block_count") else { return Ok(()) };
    let experts = header.figure("expert_count").unwrap_or(0);
    let used = header.figures("expert_used_count", layers).unwrap_or_default();
    let used = used.into_iter().max().unwrap_or(0);
    let groups = header.figure("expert_group_count").unwrap_or(0);
    let chosen = header.figure("expert_group_used_count").unwrap_or(0);
    let grouped =
        groups <= 1 || (experts.checked_rem(groups) == Some(0) && (1..groups).contains(&chosen));
    // Two architectures count a single expert as none.
    let one = experts <= 1 && header.architecture.starts_with("hunyuan");
    let agree = match experts {
        0 => used == 0 && groups == 0,
        experts => (1..=experts).contains(&used) && groups < experts && grouped,
    };
    match (agree || one) && experts <= MAX_EXPERTS {
        true => Ok(()),
        false => damaged(format!(
            "it claims {experts} experts in {groups} groups, of which {used} in {chosen} are used"
        )),
    }
}

fn check_vocabulary(header: &Header) -> Result<(), Fault> {
    let Some(tokens) = header.length(TOKENS) else { return Ok(()) };
    if tokens == 0 {
        return damaged("its vocabulary is empty".to_owned());
    }
    if let Some(table) = header.tensor("token_embd.weight") {
        let rows = table.dimensions.get(1).copied().unwrap_or(1);
        if rows != tokens {
            return damaged(format!(
                "its vocabulary has {tokens} tokens, and its embedding table {rows} rows"
            ));
        }
    }
    for (name, kinds) in
        [("token_type", [Kind::I32].as_slice()), ("scores", [Kind::F32, Kind::I32].as_slice())]
    {
        match header.entries.get(&format!("tokenizer.ggml.{name}")) {
            None => {}
            Some(Value::List(kind, count, _)) if kinds.contains(kind) && *count >= tokens => {}
            Some(Value::List(kind, count, _)) if kinds.contains(kind) => {
                return damaged(format!(
                    "its vocabulary has {tokens} tokens, and tokenizer.ggml.{name} {count}"
                ));
            }
            Some(_) => return damaged(format!("its tokenizer.ggml.{name} is no list of numbers")),
        }
    }
    Ok(())
}

/// Formats that llama.cpp computes with only in between, or not at all: as weights they make it read
/// where nothing is, or abort.
fn check_formats(header: &Header) -> Result<(), Fault> {
    for Tensor { name, kind, .. } in &header.tensors {
        let kind = kind.name();
        if matches!(kind, "I8" | "I16" | "I64" | "F64" | "Q8_1" | "Q8_K") {
            return damaged(format!("tensor {name:?} is stored as {kind}, which no weights are"));
        }
        if name.ends_with("_norm.weight") && kind != "F32" {
            return damaged(format!("tensor {name:?} is stored as {kind}, and norms are F32"));
        }
    }
    Ok(())
}

/// llama.cpp aborts on each of these.
fn check_numbers(header: &Header) -> Result<(), Fault> {
    let architecture = &header.architecture;
    for name in ["layer_norm_rms_epsilon", "layer_norm_epsilon"] {
        let key = format!("{architecture}.attention.{name}");
        if let Some(Value::Float(epsilon)) = header.entries.get(&key)
            && !(0.0..1.0).contains(epsilon)
        {
            return damaged(format!("its {name} is {epsilon}"));
        }
    }
    match header.text(&format!("{architecture}.rope.scaling.type")) {
        None | Some("none" | "linear" | "yarn" | "longrope") => Ok(()),
        Some(scaling) => {
            let scaling: String = scaling.escape_debug().take(40).collect();
            damaged(format!("its rope.scaling.type \"{scaling}\" is unknown"))
        }
    }
}
