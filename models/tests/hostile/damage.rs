//! Where the numbers of a GGUF stand, and how they are damaged.
#![expect(clippy::indexing_slicing, reason = "a test that goes astray should stop")]

use marque_models::gguf::TensorType;

/// A number that stands somewhere in a header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    at: usize,
    width: usize,
}

/// Where the numbers of a header stand, by what they mean.
pub(crate) struct Places {
    file: Vec<u8>,
    /// Counts and lengths.
    sizes: Vec<Place>,
    /// Figures of the model: values of 32 bits.
    figures: Vec<Place>,
    /// Kinds of values, and number formats of tensors.
    kinds: Vec<Place>,
    formats: Vec<Place>,
    dimensions: Vec<Place>,
    offsets: Vec<Place>,
    /// Where the header ends, and where the data begin.
    end: usize,
    data: usize,
}

impl Places {
    /// Reads a whole file that is as it should be.
    pub(crate) fn of(file: &[u8]) -> Self {
        let mut places = Self {
            file: file.to_vec(),
            sizes: vec![Place { at: 8, width: 8 }, Place { at: 16, width: 8 }],
            figures: Vec::new(),
            kinds: Vec::new(),
            formats: Vec::new(),
            dimensions: Vec::new(),
            offsets: Vec::new(),
            end: 0,
            data: 0,
        };
        let mut at = 24;
        for _ in 0..u64_at(file, 16) {
            places.text(&mut at);
            places.kinds.push(Place { at, width: 4 });
            let kind = u32_at(file, at);
            at += 4;
            places.value(kind, &mut at);
        }
        for _ in 0..u64_at(file, 8) {
            places.text(&mut at);
            places.sizes.push(Place { at, width: 4 });
            let dimensions = u32_at(file, at);
            at += 4;
            for _ in 0..dimensions {
                places.dimensions.push(Place { at, width: 8 });
                at += 8;
            }
            places.formats.push(Place { at, width: 4 });
            places.offsets.push(Place { at: at + 4, width: 8 });
            at += 12;
        }
        places.end = at;
        places.data = at.next_multiple_of(32);
        places
    }

    fn text(&mut self, at: &mut usize) {
        self.sizes.push(Place { at: *at, width: 8 });
        *at += 8 + usize::try_from(u64_at(&self.file, *at)).unwrap();
    }

    fn value(&mut self, kind: u32, at: &mut usize) {
        match kind {
            8 => self.text(at),
            9 => {
                let element = u32_at(&self.file, *at);
                self.kinds.push(Place { at: *at, width: 4 });
                self.sizes.push(Place { at: *at + 4, width: 8 });
                let count = u64_at(&self.file, *at + 4);
                *at += 12;
                for _ in 0..count {
                    // One place in a hundred is enough of a vocabulary.
                    let (sizes, figures) = (self.sizes.len(), self.figures.len());
                    self.value(element, at);
                    if !at.is_multiple_of(97) {
                        self.sizes.truncate(sizes);
                        self.figures.truncate(figures);
                    }
                }
            }
            0 | 1 | 7 => *at += 1,
            2 | 3 => *at += 2,
            4..=6 => {
                self.figures.push(Place { at: *at, width: 4 });
                *at += 4;
            }
            _ => *at += 8,
        }
    }

    /// A kind of damage, and the file that has it.
    pub(crate) fn mutate(&self, case: usize, random: &mut Random) -> (&'static str, Vec<u8>) {
        let mut file = self.file.clone();
        let length = file.len();
        let kind = match case % 9 {
            0 => {
                file.truncate(random.below(length));
                "cut"
            }
            1 => {
                for _ in 0..=random.below(3) {
                    file[random.below(self.end)] ^= 1 << random.below(8);
                }
                "flip in header"
            }
            2 => {
                let place = random.pick(&self.sizes);
                put(&mut file, place, random.absurd(read(&self.file, place)));
                "size"
            }
            3 => {
                let place = random.pick(&self.figures);
                put(&mut file, place, random.absurd(read(&self.file, place)));
                "figure"
            }
            4 => {
                let place = random.pick(&self.kinds);
                put(&mut file, place, random.below(14) as u64);
                "kind of a value"
            }
            5 => {
                self.other_format(&mut file, random);
                "number format"
            }
            6 => {
                let places = [&self.dimensions, &self.offsets][random.below(2)];
                let place = random.pick(places);
                put(&mut file, place, random.absurd(read(&self.file, place)));
                "tensor"
            }
            7 => {
                self.other_architecture(&mut file, random);
                "architecture"
            }
            _ => {
                for _ in 0..=random.below(64) {
                    let at = self.data + random.below(length - self.data);
                    // Not-a-number and infinity among them.
                    file[at] = [0xff, 0x7f, 0x7c, 0xfc, random.next() as u8][random.below(5)];
                }
                "weights"
            }
        };
        (kind, file)
    }

    /// Says that the model, or its vocabulary, is of another kind, and half of the time that one of
    /// its figures is another as well.
    fn other_architecture(&self, file: &mut [u8], random: &mut Random) {
        let kinds =
            ["gemma", "qwen2", "qwen3", "olmo2", "olmoe", "orion", "mamba", "rwkv6", "rwkv7"];
        let tokenizers = ["bert", "rwkv", "none", "t5\0\0"];
        let (old, new) = match random.below(4) {
            0 => ("gpt2", tokenizers[random.below(tokenizers.len())]),
            _ => ("llama", kinds[random.below(kinds.len())]),
        };
        let places: Vec<usize> =
            (0..self.end).filter(|at| self.file[*at..].starts_with(old.as_bytes())).collect();
        for at in places {
            file[at..at + old.len()].copy_from_slice(new.as_bytes());
        }
        if random.below(2) == 0 {
            let place = random.pick(&self.figures);
            put(file, place, random.absurd(read(&self.file, place)));
        }
    }

    /// Gives a tensor another format, and half of the time room for it.
    fn other_format(&self, file: &mut Vec<u8>, random: &mut Random) {
        let number = random.below(self.formats.len());
        let wanted = u32::try_from(random.below(44)).unwrap();
        if random.below(2) == 0 && TensorType::from_number(wanted).is_some() {
            self.store_as(file, number, wanted, random);
        } else {
            put(file, self.formats[number], wanted.into());
        }
    }

    /// Gives a tensor another format and room for it, so that what follows lies where it should.
    pub(crate) fn store_as(
        &self,
        file: &mut Vec<u8>,
        number: usize,
        wanted: u32,
        random: &mut Random,
    ) {
        let place = self.formats[number];
        let old = TensorType::from_number(u32_at(file, place.at)).unwrap();
        let new = TensorType::from_number(wanted).unwrap();
        put(file, place, wanted.into());
        let begin = |number: usize| {
            let place = self.offsets.get(number)?;
            usize::try_from(u64_at(&self.file, place.at)).ok()
        };
        let from = begin(number).unwrap();
        let till = begin(number + 1).unwrap_or(self.file.len() - self.data);
        let blocks = (till - from) as u64 / old.block_bytes() * old.block() / new.block();
        let room = usize::try_from(blocks * new.block_bytes()).unwrap().next_multiple_of(32);
        let noise = (0..room).map(|_| random.next() as u8);
        file.splice(self.data + from..self.data + till, noise);
        for place in &self.offsets[number + 1..] {
            let moved = u64_at(&self.file, place.at) + room as u64 - (till - from) as u64;
            put(file, *place, moved);
        }
    }
}

fn u32_at(file: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(file[at..at + 4].try_into().unwrap())
}

fn u64_at(file: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(file[at..at + 8].try_into().unwrap())
}

fn read(file: &[u8], place: Place) -> u64 {
    if place.width == 4 { u32_at(file, place.at).into() } else { u64_at(file, place.at) }
}

fn put(file: &mut [u8], place: Place, value: u64) {
    file[place.at..place.at + place.width].copy_from_slice(&value.to_le_bytes()[..place.width]);
}

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn pick(&mut self, places: &[Place]) -> Place {
        places[self.below(places.len())]
    }

    /// A number that somebody has not thought of.
    fn absurd(&mut self, number: u64) -> u64 {
        let choices = [
            0,
            1,
            2,
            3,
            7,
            255,
            number.wrapping_add(1),
            number.wrapping_sub(1),
            number.wrapping_mul(2),
            number / 2,
            1 << 20,
            1 << 31,
            u64::from(u32::MAX),
            1 << 40,
            1 << 62,
            u64::MAX,
            self.next(),
        ];
        choices[self.below(choices.len())]
    }
}
