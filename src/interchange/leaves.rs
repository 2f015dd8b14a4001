//! The leaves of a JSON value: every string, number and boolean in it, as text.

use zeroize::Zeroizing;

use super::literal;

/// How deep objects and lists are followed; what is below is one leaf.
const DEPTH: usize = 64;

/// The leaves of a JSON text, in their order; none if it is not JSON. Strings are unescaped, null is left out.
pub fn leaves(json: &str) -> Vec<Zeroizing<String>> {
    let mut found = Vec::new();
    if literal::is_json(json) {
        collect(json.trim(), 0, &mut found);
    }
    found
}

fn collect(json: &str, depth: usize, found: &mut Vec<Zeroizing<String>>) {
    let below = |value: &str, found: &mut Vec<Zeroizing<String>>| collect(value.trim(), depth + 1, found);
    match json.chars().next() {
        Some('{') if depth < DEPTH => {
            // A name with half of a surrogate pair ends the walk; what was found up to there counts, and the text as a whole.
            let walked = literal::members(json, |_, value| {
                below(value, found);
                Ok(())
            });
            if walked.is_err() {
                found.push(Zeroizing::new(json.to_owned()));
            }
        }
        Some('[') if depth < DEPTH => {
            for value in literal::items(json).unwrap_or_default() {
                below(value, found);
            }
        }
        Some('"') => found.extend(literal::unquote(json)),
        _ if json == "null" => {}
        _ => found.push(Zeroizing::new(json.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_leaf_once_and_unescaped() {
        let json = r#" {"a":"x\ny","b":[1.10,true,null,{"c":""}],"d":{}} "#;
        let found: Vec<String> = leaves(json).into_iter().map(|leaf| leaf.to_string()).collect();
        assert_eq!(found, ["x\ny", "1.10", "true", ""]);
        assert!(leaves("no json").is_empty());
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(leaves(&deep).len() <= 1);
    }
}
