"""A trained network as a GGUF file, in F16, Q8_0 or Q4_0."""

import hashlib

import gguf
import numpy as np

FORMATS = {
    "F32": (gguf.LlamaFileType.ALL_F32, None),
    "F16": (gguf.LlamaFileType.MOSTLY_F16, gguf.GGMLQuantizationType.F16),
    "Q8_0": (gguf.LlamaFileType.MOSTLY_Q8_0, gguf.GGMLQuantizationType.Q8_0),
    "Q4_0": (gguf.LlamaFileType.MOSTLY_Q4_0, gguf.GGMLQuantizationType.Q4_0),
}

# A line a tool, as the agent core writes them; and the same lines from `tools`, should a caller pass
# tools as such. Calls are written compactly, the tool's name first.
TEMPLATE = """\
{%- macro line(tool) -%}
{%- set f = tool.function -%}
{{- f.name }}({% set properties = f.parameters.properties if f.parameters and f.parameters.properties else {} %}
{%- set required = f.parameters.required if f.parameters and f.parameters.required else [] %}
{%- for name in properties %}{{ name }}{% if name not in required %}?{% endif %}{% if not loop.last %},{% endif %}{% endfor -%}
){% if f.description %} {{ f.description }}{% endif -%}
{%- endmacro -%}
{%- set lines = namespace(text='') -%}
{%- for tool in tools or [] -%}
{%- set lines.text = lines.text ~ ('\\n' if lines.text else '') ~ line(tool) -%}
{%- endfor -%}
{%- if lines.text and messages[0].role != 'system' -%}<|sys|>{{ lines.text }}{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}
<|sys|>{{ message.content }}{% if lines.text %}{{ '\\n' if message.content else '' }}{{ lines.text }}{% endif -%}
{%- elif message.role == 'user' -%}
<|user|>{{ message.content }}
{%- elif message.role == 'assistant' -%}
{%- if message.content or not message.tool_calls -%}<|call|>{{ message.content }}<|end|>{%- endif -%}
{%- for call in message.tool_calls or [] -%}
<|call|>{"tool":{{ call.function.name | tojson }},"args":{{ call.function.arguments | tojson(separators=(',', ':')) }}}<|end|>
{%- endfor -%}
{%- else -%}
<|result|>{{ message.content }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|call|>{%- endif -%}
"""


def write(path, network, tokenizer, form, name, facts):
    """Writes the file and gives its SHA-256."""
    shape = network.shape
    kind, quantised = FORMATS[form]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_license("MIT OR Apache-2.0")
    writer.add_description("Marque's built-in model: calls tools, and is honest about being small")
    writer.add_string("marque.training", facts)
    writer.add_vocab_size(len(tokenizer.tokens))
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_dimension_count(shape.head)
    writer.add_rope_freq_base(shape.rope)
    writer.add_file_type(kind)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokenizer.tokens)
    types = [gguf.TokenType.NORMAL] * tokenizer.plain
    types += [gguf.TokenType.UNUSED if "unused" in token else gguf.TokenType.CONTROL for token in tokenizer.tokens[tokenizer.plain :]]
    writer.add_token_types(types)
    writer.add_token_merges([f"{a} {b}" for a, b in tokenizer.merges])
    writer.add_bos_token_id(tokenizer.special("<|sys|>"))
    writer.add_eos_token_id(tokenizer.special("<|end|>"))
    writer.add_pad_token_id(tokenizer.special("<|pad|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    for tensor, values in network.tensors().items():
        values = np.ascontiguousarray(values, dtype=np.float32)
        if values.ndim == 1 or quantised is None:
            writer.add_tensor(tensor, values)
        else:
            writer.add_tensor(tensor, gguf.quants.quantize(values, quantised), raw_dtype=quantised)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()
