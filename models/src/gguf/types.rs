//! The number formats of tensors, and the kinds of the values in a header.

/// How the weights of a tensor are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorType {
    number: u32,
    name: &'static str,
    block: u64,
    bytes: u64,
}

impl TensorType {
    /// The type with this number in the file, if llama.cpp reads it.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        TYPES.iter().copied().find(|known| known.number == number)
    }

    /// Its number in the file.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.number
    }

    /// What files and people call it: `Q4_K`, `F16`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// Weights of a block; the first dimension of a tensor is a multiple of it.
    #[must_use]
    pub const fn block(self) -> u64 {
        self.block
    }

    /// Bytes of a block.
    #[must_use]
    pub const fn block_bytes(self) -> u64 {
        self.bytes
    }
}

const fn row(number: u32, name: &'static str, block: u64, bytes: u64) -> TensorType {
    TensorType { number, name, block, bytes }
}

/// Every type that llama.cpp knows: number, name, weights and bytes of a block.
/// `the_table_of_types_is_that_of_llama_cpp` compares it with the library that is linked.
pub(super) const TYPES: [TensorType; 35] = [
    row(0, "F32", 1, 4),
    row(1, "F16", 1, 2),
    row(2, "Q4_0", 32, 18),
    row(3, "Q4_1", 32, 20),
    row(6, "Q5_0", 32, 22),
    row(7, "Q5_1", 32, 24),
    row(8, "Q8_0", 32, 34),
    row(9, "Q8_1", 32, 36),
    row(10, "Q2_K", 256, 84),
    row(11, "Q3_K", 256, 110),
    row(12, "Q4_K", 256, 144),
    row(13, "Q5_K", 256, 176),
    row(14, "Q6_K", 256, 210),
    row(15, "Q8_K", 256, 292),
    row(16, "IQ2_XXS", 256, 66),
    row(17, "IQ2_XS", 256, 74),
    row(18, "IQ3_XXS", 256, 98),
    row(19, "IQ1_S", 256, 50),
    row(20, "IQ4_NL", 32, 18),
    row(21, "IQ3_S", 256, 110),
    row(22, "IQ2_S", 256, 82),
    row(23, "IQ4_XS", 256, 136),
    row(24, "I8", 1, 1),
    row(25, "I16", 1, 2),
    row(26, "I32", 1, 4),
    row(27, "I64", 1, 8),
    row(28, "F64", 1, 8),
    row(29, "IQ1_M", 256, 56),
    row(30, "BF16", 1, 2),
    row(34, "TQ1_0", 256, 54),
    row(35, "TQ2_0", 256, 66),
    row(39, "MXFP4", 32, 17),
    row(40, "NVFP4", 64, 36),
    row(41, "Q1_0", 128, 18),
    row(42, "Q2_0", 64, 18),
];

/// What `general.file_type` calls the mixture of a file.
#[must_use]
pub fn file_type(number: u64) -> Option<&'static str> {
    // LLAMA_FTYPE_GUESSED says that a converter has guessed.
    let name = match number & !1024 {
        0 => "F32",
        1 => "F16",
        2 => "Q4_0",
        3 => "Q4_1",
        7 => "Q8_0",
        8 => "Q5_0",
        9 => "Q5_1",
        10 => "Q2_K",
        11 => "Q3_K_S",
        12 => "Q3_K_M",
        13 => "Q3_K_L",
        14 => "Q4_K_S",
        15 => "Q4_K_M",
        16 => "Q5_K_S",
        17 => "Q5_K_M",
        18 => "Q6_K",
        19 => "IQ2_XXS",
        20 => "IQ2_XS",
        21 => "Q2_K_S",
        22 => "IQ3_XS",
        23 => "IQ3_XXS",
        24 => "IQ1_S",
        25 => "IQ4_NL",
        26 => "IQ3_S",
        27 => "IQ3_M",
        28 => "IQ2_S",
        29 => "IQ2_M",
        30 => "IQ4_XS",
        31 => "IQ1_M",
        32 => "BF16",
        36 => "TQ1_0",
        37 => "TQ2_0",
        38 => "MXFP4",
        39 => "NVFP4",
        40 => "Q1_0",
        41 => "Q2_0",
        _ => return None,
    };
    Some(name)
}

/// The kind of a value in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 16 bits.
    U16,
    /// Signed, 16 bits.
    I16,
    /// Unsigned, 32 bits.
    U32,
    /// Signed, 32 bits.
    I32,
    /// Floating, 32 bits.
    F32,
    /// True or false.
    Bool,
    /// A text.
    Text,
    /// Several of one other kind.
    List,
    /// Unsigned, 64 bits.
    U64,
    /// Signed, 64 bits.
    I64,
    /// Floating, 64 bits.
    F64,
}

impl Kind {
    pub(super) fn from_number(number: u32) -> Option<Self> {
        let kind = match number {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Bool,
            8 => Self::Text,
            9 => Self::List,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            _ => return None,
        };
        Some(kind)
    }

    /// Bytes of one value; `None` where that differs from value to value.
    pub(super) const fn width(self) -> Option<u64> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::Text | Self::List => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    #[expect(unsafe_code, reason = "llama.cpp's own table is behind C functions")]
    fn the_table_of_types_is_that_of_llama_cpp() {
        use llama_cpp_sys_2 as sys;
        for number in 0..sys::GGML_TYPE_COUNT {
            // SAFETY: the number is below the count, which is all that these functions ask
            // (`the_table_of_types_is_that_of_llama_cpp` is this very test).
            let (block, bytes, name) = unsafe {
                let name = sys::ggml_type_name(number);
                let name = (!name.is_null()).then(|| CStr::from_ptr(name).to_str().unwrap());
                (sys::ggml_blck_size(number), sys::ggml_type_size(number), name)
            };
            let ours = TensorType::from_number(number);
            assert_eq!(ours.is_some(), block > 0, "{number} {name:?}");
            if let Some(ours) = ours {
                assert_eq!(ours.name, name.unwrap().to_uppercase());
                assert_eq!((ours.block, ours.bytes), (block.cast_unsigned(), bytes as u64));
            }
        }
        assert!(TensorType::from_number(sys::GGML_TYPE_COUNT).is_none());
    }
}
