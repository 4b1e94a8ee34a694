//! Questions about what no backend keeps: a text with NUL, a decimal in another form than its one.
//!
//! One of the databases would refuse such a question, one would misread it. So nothing is found, before
//! anybody is asked.

use std::borrow::Cow;

use robson_eventlog::{EventQuery, Page, RowQuery, Value};

/// The question without what cannot be found; nothing where that is all of it.
pub(crate) fn about_rows(query: &RowQuery) -> Option<Cow<'_, RowQuery>> {
    let is_kept = |values: &[Value]| values.iter().all(Value::is_portable);
    if !query.filters.iter().all(|(_, value)| value.is_portable())
        || !query.after.as_deref().is_none_or(is_kept)
    {
        return None;
    }
    if query.keys.iter().all(|key| is_kept(key)) {
        return Some(Cow::Borrowed(query));
    }
    let keys: Vec<Vec<Value>> = query.keys.iter().filter(|key| is_kept(key)).cloned().collect();
    // No key would mean every row.
    (!keys.is_empty()).then(|| Cow::Owned(RowQuery { keys, ..query.clone() }))
}

/// The question, or one for no event at all: where the log ends is answered either way.
pub(crate) fn about_events(query: &EventQuery) -> Cow<'_, EventQuery> {
    let mut texts = [&query.stream_prefix, &query.entity_id].into_iter().flatten();
    if texts.any(|text| text.contains('\0')) {
        let nothing = EventQuery { limit: 0, stream_prefix: None, entity_id: None, ..query.clone() };
        return Cow::Owned(nothing);
    }
    Cow::Borrowed(query)
}

/// Counts an answer, for the metrics.
pub(crate) fn count(page: &Page) {
    metrics::counter!("eventlog_reads_total").increment(1);
    metrics::counter!("eventlog_read_events_total").increment(page.events.len() as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn a_key_that_nothing_has_hides_no_other_key() {
        let query = RowQuery::keys(vec![vec![text("a")], vec![text("b\0")]]);
        assert_eq!(about_rows(&query).map(|query| query.keys.clone()), Some(vec![vec![text("a")]]));
        assert_eq!(about_rows(&RowQuery::keys(vec![vec![text("b\0")]])), None);
    }

    #[test]
    fn a_whole_question_is_asked_as_it_is() {
        let query = RowQuery::filter("name", text("a"));
        assert!(matches!(about_rows(&query), Some(Cow::Borrowed(asked)) if *asked == query));
        assert_eq!(about_rows(&RowQuery::filter("name", text("a\0"))), None);
    }
}
