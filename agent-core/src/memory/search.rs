//! Finds texts by words: a small inverted index, scored by BM25.
//!
//! It is built from the store when something is first looked for, and never written down: what is
//! remembered is the truth, this only its index. BM25 with the usual constants (Robertson and
//! Zaragoza, "The Probabilistic Relevance Framework", 2009), and no list of stop words: a word that
//! all texts have weighs next to nothing by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How soon a word that is there again and again stops counting.
const K1: f64 = 1.2;
/// How much a long text is held against it.
const B: f64 = 0.75;
/// Characters of a word that are looked at.
const WORD: usize = 32;

/// Texts by their words.
#[derive(Debug, Default)]
pub(crate) struct Index {
    texts: HashMap<Vec<u8>, Text>,
    /// Which texts have a word.
    postings: HashMap<String, BTreeSet<Vec<u8>>>,
    /// Words of all texts together.
    words: u64,
}

#[derive(Debug)]
struct Text {
    counts: BTreeMap<String, u32>,
    words: u32,
}

impl Index {
    /// Takes a text in, in place of one that had this key before. What it is about counts twice.
    pub(crate) fn put(&mut self, key: &[u8], about: &str, text: &str) {
        self.remove(key);
        let mut counts = BTreeMap::<String, u32>::new();
        for word in words(about).chain(words(about)).chain(words(text)) {
            let count = counts.entry(word).or_default();
            *count = count.saturating_add(1);
        }
        let words = counts.values().fold(0_u32, |sum, count| sum.saturating_add(*count));
        for word in counts.keys() {
            self.postings.entry(word.clone()).or_default().insert(key.to_owned());
        }
        self.words = self.words.saturating_add(words.into());
        self.texts.insert(key.to_owned(), Text { counts, words });
    }

    /// Takes a text out.
    pub(crate) fn remove(&mut self, key: &[u8]) {
        let Some(old) = self.texts.remove(key) else { return };
        self.words = self.words.saturating_sub(old.words.into());
        for word in old.counts.keys() {
            let Some(keys) = self.postings.get_mut(word) else { continue };
            keys.remove(key);
            if keys.is_empty() {
                self.postings.remove(word);
            }
        }
    }

    /// The keys of the texts that fit best, the best first, each with its score. A text that has none
    /// of the words is not among them.
    pub(crate) fn find(&self, query: &str, most: usize) -> Vec<(Vec<u8>, f64)> {
        let all = as_f64(self.texts.len() as u64);
        let mean = as_f64(self.words) / all.max(1.0);
        let mut scores = BTreeMap::<&[u8], f64>::new();
        for word in words(query).collect::<BTreeSet<_>>() {
            let Some(keys) = self.postings.get(&word) else { continue };
            let having = as_f64(keys.len() as u64);
            let rarity = (1.0 + (all - having + 0.5) / (having + 0.5)).ln();
            for key in keys {
                let Some(text) = self.texts.get(key) else { continue };
                let count = f64::from(text.counts.get(&word).copied().unwrap_or_default());
                let length = f64::from(text.words) / mean.max(1.0);
                let weight = count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length));
                *scores.entry(key).or_default() += rarity * weight;
            }
        }
        let mut found: Vec<_> =
            scores.into_iter().map(|(key, score)| (key.to_owned(), score)).collect();
        found.sort_by(|(key, score), (other, than)| {
            than.total_cmp(score).then_with(|| key.cmp(other))
        });
        found.truncate(most);
        found
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52, and a score is no amount")]
const fn as_f64(count: u64) -> f64 {
    count as f64
}

/// The words of a text: runs of letters and digits, in lower case. A plural `s` is taken off, so that
/// `winds` is found by `wind`; whatever else a language does to its words is left alone.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(|word| {
        let word: String = word.chars().flat_map(char::to_lowercase).take(WORD).collect();
        match word.strip_suffix('s') {
            Some(one) if one.len() > 2 && !one.ends_with('s') => one.to_owned(),
            _ => word,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(texts: &[(&str, &str)]) -> Index {
        let mut index = Index::default();
        for (about, text) in texts {
            index.put(about.as_bytes(), about, text);
        }
        index
    }

    fn found(index: &Index, query: &str) -> Vec<String> {
        let found = index.find(query, 9);
        found.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
    }

    #[test]
    fn rare_words_count_more_and_what_a_text_is_about_counts_twice() {
        let index = index(&[
            ("ferry", "the ferry to Flores leaves at nine, says the harbour"),
            ("harbour", "the office opens at nine"),
            ("wind", "the winds at the harbour: 14 knots at nine"),
        ]);
        assert_eq!(found(&index, "harbour"), ["harbour", "wind", "ferry"]);
        assert_eq!(found(&index, "Winds?"), ["wind"]);
        assert_eq!(found(&index, "when does the ferry leave"), ["ferry", "wind", "harbour"]);
        assert_eq!(found(&index, "submarine"), [""; 0]);
        assert_eq!(found(&index, ""), [""; 0]);
    }

    #[test]
    fn a_text_that_was_replaced_or_removed_is_not_found_any_more() {
        let mut index = index(&[("price", "12 a barrel"), ("owner", "Ana")]);
        index.put(b"price", "price", "13 a tonne");
        assert_eq!(found(&index, "barrel"), [""; 0]);
        assert_eq!(found(&index, "tonne"), ["price"]);
        index.remove(b"price");
        index.remove(b"owner");
        assert!(index.texts.is_empty() && index.postings.is_empty());
        assert_eq!(index.words, 0);
    }

    #[test]
    fn equal_texts_come_in_the_order_of_their_keys_and_no_more_than_were_asked_for() {
        let mut index = Index::default();
        for key in ["c", "a", "b"] {
            index.put(key.as_bytes(), "", "one word");
        }
        let keys: Vec<_> = index.find("word", 2).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [b"a", b"b"]);
    }
}
