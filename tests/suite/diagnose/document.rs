//! docs/diagnosis.md, made from the rules and the fixtures; `__GOFIX_TEST_UPDATE=1 cargo test --test suite document`
//! writes it anew.

use super::*;

/// What one family's texts are taken for by the rules of the others.
struct LeftOut {
    family: String,
    rules: usize,
    /// How many answers there are, how many of them are not run again, and how many of these are called answers.
    answers: (usize, usize),
    called: usize,
    /// How many texts there are that only the disk can decide, and how many of them are not run again blindly.
    disk: (usize, usize),
    /// How many faults there are, and how many of them are run again.
    faults: (usize, usize),
    /// Those that are taken for something else.
    wrong: Vec<String>,
}

/// Whether a rule is made of words, as against a shape that holds around any.
fn is_made_of_words(rule: &Rule) -> bool {
    matches!(
        rule.pattern,
        Pattern::Words(_) | Pattern::Shape(Shape::Line(_) | Shape::AnyOf(_) | Shape::Exactly(_))
    )
}

/// Whether the texts of one family are all that a rule could have been made from: no other family's
/// text is decided by it. The operating system's own words mean the same wherever they stand: one of
/// these is known from others as soon as a text that go has printed for another family holds it.
fn is_only_from(rule: &Rule, family: &str, families: &BTreeMap<String, Vec<Fixture>>) -> bool {
    let others = || {
        families
            .iter()
            .filter(|(name, _)| *name != family)
            .flat_map(|(_, fixtures)| fixtures)
    };
    let holds = |fixture: &Fixture| match rule.pattern {
        Pattern::Words(words) => {
            let text = fixture.text.to_lowercase();
            fixture.is_real() && words.iter().all(|word| text.contains(word))
        }
        Pattern::Shape(_) => false,
    };
    is_made_of_words(rule)
        && !others().any(|fixture| fixture.rule == rule.id || (rule.system && holds(fixture)))
}

fn leave_one_family_out() -> Vec<LeftOut> {
    let families = families();
    let mut rows = Vec::new();
    for (family, own) in &families {
        let without: Vec<&str> = RULES
            .iter()
            .filter(|rule| is_only_from(rule, family, &families))
            .map(|rule| rule.id)
            .collect();
        let mut row = LeftOut {
            family: family.clone(),
            rules: without.len(),
            answers: (0, 0),
            called: 0,
            disk: (0, 0),
            faults: (0, 0),
            wrong: Vec::new(),
        };
        for fixture in own.iter().filter(|f| f.is_real()) {
            let verdict = diagnose_with(&fixture.input(), RuleSet { without: &without }).verdict;
            let again = matches!(verdict, Verdict::Retry | Verdict::Switch);
            let (count, right) = match fixture.verdict.as_str() {
                "retry" | "switch" => (&mut row.faults, again),
                "repair" => (&mut row.disk, !again),
                _ => {
                    row.called += usize::from(verdict == Verdict::Final);
                    (&mut row.answers, !again)
                }
            };
            count.0 += 1;
            count.1 += usize::from(right);
            if !right {
                row.wrong.push(format!(
                    "{family}: {} is taken for {verdict}: {}\n{}",
                    fixture.rule, fixture.name, fixture.text
                ));
            }
        }
        if row.answers.0 + row.disk.0 + row.faults.0 > 0 {
            rows.push(row);
        }
    }
    rows
}

/// The floor under the table in the documentation: what shapes and the rules of other families must carry.
#[test]
fn texts_of_a_family_that_no_rule_was_made_for() {
    let rows = leave_one_family_out();
    let wrong = rows
        .iter()
        .flat_map(|r| r.wrong.clone())
        .collect::<Vec<_>>()
        .join("\n");
    let sum = |part: fn(&LeftOut) -> (usize, usize)| {
        rows.iter().map(part).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    };
    let (answers, kept) = sum(|r| r.answers);
    assert_eq!(kept, answers, "an answer is run again: {wrong}");
    let (disk, kept) = sum(|r| r.disk);
    assert_eq!(kept, disk, "{wrong}");
    let (faults, recognised) = sum(|r| r.faults);
    assert!(
        100 * recognised >= 98 * faults,
        "{recognised} of {faults}: {wrong}"
    );
}

fn left_out_table(rows: &[LeftOut]) -> String {
    let mut text = String::from(
        "| family left out | rules left out | answers not run again | of these called final | disk decides, not run again blindly | faults run again |\n|---|---|---|---|---|---|\n",
    );
    let cell = |(all, right): (usize, usize)| {
        if all == 0 {
            "–".to_owned()
        } else {
            format!("{right} of {all}")
        }
    };
    let called = |row: &LeftOut| (row.answers.0, row.called);
    let mut sums = [(0, 0); 4];
    for row in rows {
        let cells = [row.answers, called(row), row.disk, row.faults];
        for (sum, part) in sums.iter_mut().zip(cells) {
            sum.0 += part.0;
            sum.1 += part.1;
        }
        write!(text, "| {} | {} |", row.family, row.rules).unwrap();
        for part in cells {
            write!(text, " {} |", cell(part)).unwrap();
        }
        text.push('\n');
    }
    text.push_str("| **all** | |");
    for sum in sums {
        let percent = 100.0 * sum.1 as f64 / sum.0 as f64;
        write!(text, " **{} ({percent:.1} %)** |", cell(sum)).unwrap();
    }
    text.push('\n');
    text
}

fn rules_table() -> String {
    let mut text = String::from(
        "| rule | part | known by | kind | verdict | nobody there | seen in |\n|---|---|---|---|---|---|---|\n",
    );
    for rule in RULES {
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            rule.id,
            rule.part.as_str(),
            rule.describe().replace('|', "\\|"),
            rule.kind,
            rule.verdict,
            if rule.nobody { "yes" } else { "" },
            rule.seen
        )
        .unwrap();
    }
    text
}

/// The document with its generated parts made anew.
fn renewed(document: &str) -> String {
    let parts = [
        ("left out", left_out_table(&leave_one_family_out())),
        ("rules", rules_table()),
    ];
    let mut text = String::new();
    let mut inside = false;
    for line in document.lines() {
        inside &= line != "<!-- end -->";
        if !inside {
            text.push_str(line);
            text.push('\n');
        }
        for (name, part) in &parts {
            if line == format!("<!-- generated: {name} -->") {
                text.push_str(part);
                inside = true;
            }
        }
    }
    text
}

#[test]
fn the_documentation_is_made_from_the_rules() {
    let path: &Path = &root().join("docs/diagnosis.md");
    let document = fs::read_to_string(path).unwrap();
    let renewed = renewed(&document);
    if std::env::var_os("__GOFIX_TEST_UPDATE").is_some() {
        fs::write(path, &renewed).unwrap();
        return;
    }
    assert!(
        document == renewed,
        "docs/diagnosis.md is not what the rules say; __GOFIX_TEST_UPDATE=1 cargo test --test suite document writes it anew"
    );
}
