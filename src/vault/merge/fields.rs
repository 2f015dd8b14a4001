//! JSON values of two sides, field by field.

use serde_json::{Map, Value};

use super::Side;
use crate::secret::SecretValue;
use crate::vault::field::{Wiped, parse_json, to_bytes};

/// What became of two values, and the dotted paths at which both sides said something else.
pub(super) struct Joined {
    pub value: SecretValue,
    pub conflicts: Vec<String>,
}

/// Joins two JSON values; `None` if one of them is no object. Where both changed a field, that of the favoured side stands.
pub(super) fn join(base: Option<&SecretValue>, own: &SecretValue, other: &SecretValue, favour: Side) -> Option<Joined> {
    // What the JSON library would take for something else is not taken apart, so nothing of it can change.
    let parse = |value: &SecretValue| parse_json(value.expose()).ok().map(Wiped);
    let (own, other): (Wiped, Wiped) = (parse(own)?, parse(other)?);
    let base = base.and_then(parse);
    if !own.0.is_object() || !other.0.is_object() {
        return None;
    }
    let mut join = Join { favour, path: Vec::new(), conflicts: Vec::new() };
    let joined = Wiped(join.values(base.as_ref().map(|base| &base.0), Some(&own.0), Some(&other.0))?);
    Some(Joined { value: SecretValue::new(to_bytes(&joined.0).ok()?), conflicts: join.conflicts })
}

struct Join {
    favour: Side,
    path: Vec<String>,
    conflicts: Vec<String>,
}

impl Join {
    /// What a place holds; `None` on a side, or as the result: nothing.
    fn values(&mut self, base: Option<&Value>, own: Option<&Value>, other: Option<&Value>) -> Option<Value> {
        if own == other || base == other {
            return own.cloned();
        }
        if base == own {
            return other.cloned();
        }
        if let (Some(Value::Object(own)), Some(Value::Object(other))) = (own, other) {
            let base = base.and_then(Value::as_object);
            let mut joined = Map::new();
            // In the order of the own side; what only the other has comes behind.
            for key in own.keys().chain(other.keys().filter(|key| !own.contains_key(*key))) {
                self.path.push(key.clone());
                if let Some(value) = self.values(base.and_then(|base| base.get(key)), own.get(key), other.get(key)) {
                    joined.insert(key.clone(), value);
                }
                self.path.pop();
            }
            return Some(Value::Object(joined));
        }
        self.conflicts.push(self.path.join("."));
        match self.favour {
            Side::Own => own.cloned(),
            Side::Other => other.cloned(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn joined(base: &str, own: &str, other: &str, favour: Side) -> (String, Vec<String>) {
        let base = Some(SecretValue::from(base)).filter(|base| !base.expose().is_empty());
        let joined = join(base.as_ref(), &SecretValue::from(own), &SecretValue::from(other), favour).unwrap();
        (String::from_utf8(joined.value.expose().to_vec()).unwrap(), joined.conflicts)
    }

    #[test]
    fn fields_come_from_where_they_were_changed() {
        let base = r#"{"a":1,"b":{"c":1.10,"d":2},"gone":1,"left":1}"#;
        let own = r#"{"a":2,"b":{"c":1.10,"d":2,"new":"o"},"left":1}"#;
        let other = r#"{"b":{"c":3,"d":2},"gone":1,"a":1,"more":[1],"left":1}"#;
        let expected = r#"{"a":2,"b":{"c":3,"d":2,"new":"o"},"left":1,"more":[1]}"#;
        assert_eq!(joined(base, own, other, Side::Own), (expected.to_owned(), vec![]));
    }

    #[test]
    fn both_changed_is_a_conflict_of_that_field_alone() {
        let (base, own, other) = (r#"{"a":1,"b":{"c":1},"d":1}"#, r#"{"a":2,"b":{"c":2},"d":1}"#, r#"{"a":2,"b":{"c":3},"d":4}"#);
        let conflict = vec!["b.c".to_owned()];
        assert_eq!(joined(base, own, other, Side::Own), (r#"{"a":2,"b":{"c":2},"d":4}"#.to_owned(), conflict.clone()));
        assert_eq!(joined(base, own, other, Side::Other), (r#"{"a":2,"b":{"c":3},"d":4}"#.to_owned(), conflict));
        // Removed on one side, changed on the other.
        assert_eq!(joined(r#"{"a":1}"#, "{}", r#"{"a":2}"#, Side::Other).1, ["a"]);
        // Without an ancestor only what is different is in conflict.
        assert_eq!(joined("", r#"{"a":1,"b":1}"#, r#"{"a":1,"c":1}"#, Side::Own), (r#"{"a":1,"b":1,"c":1}"#.to_owned(), vec![]));
        let text = |text: &str| SecretValue::from(text);
        let number = text(r#"{"a":{"$serde_json::private::Number":"1"}}"#);
        assert!(join(None, &number, &text(r#"{"b":1}"#), Side::Own).is_none());
        assert!(
            join(None, &text("[1]"), &text("[2]"), Side::Own).is_none()
                && join(None, &text("{}"), &text("x"), Side::Own).is_none()
        );
    }
}
