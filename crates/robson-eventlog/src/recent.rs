//! A map that forgets what was not used for long, without keeping an order of use.

use std::collections::HashMap;
use std::hash::Hash;

/// Two generations: what is used moves into the younger, and when that has grown enough the older is dropped.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<K: Hash + Eq, V> Recent<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// The value, which counts as used.
    pub(crate) fn touch(&mut self, key: &K) -> Option<&mut V> {
        if !self.old.is_empty()
            && let Some((key, value)) = self.old.remove_entry(key)
        {
            self.young.insert(key, value);
        }
        self.young.get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    pub(crate) fn remove_entry(&mut self, key: &K) -> Option<(K, V)> {
        self.young.remove_entry(key).or_else(|| self.old.remove_entry(key))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.young.iter().chain(&self.old)
    }

    /// Drops what was not used since the younger generation began, once that has `limit` values. What was
    /// used since then survives this call and the next one that drops.
    pub(crate) fn age(&mut self, limit: usize) {
        if self.young.len() >= limit {
            self.old = std::mem::take(&mut self.young);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::Recent;

    #[test]
    fn what_is_used_stays() {
        let mut recent = Recent::default();
        for n in 0..1_000 {
            recent.insert(n, n);
            assert_eq!(recent.touch(&0), Some(&mut 0));
            recent.age(10);
            assert_eq!(recent.get(&n), Some(&n), "the newest is there");
            assert!(recent.len() <= 21);
        }
        assert_eq!(recent.get(&1), None);
        assert_eq!(recent.iter().filter(|(key, _)| **key == 0).count(), 1);
    }
}
