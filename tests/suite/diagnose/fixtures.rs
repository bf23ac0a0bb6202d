//! Texts that go has printed, and what each of them means.

use super::*;

#[test]
fn every_fixture_is_read_as_it_says() {
    let mut wrong = String::new();
    for fixture in fixtures() {
        let diagnosis = diagnose(&fixture.input());
        let fault = deciding(&diagnosis);
        let got = fault.map(|f| {
            (
                diagnosis.verdict.as_str().to_owned(),
                f.rule.to_owned(),
                f.kind.as_str().to_owned(),
                f.module.clone(),
                f.version.clone(),
                f.host.clone(),
                f.url.clone(),
                f.nobody,
            )
        });
        let wanted = Some((
            fixture.verdict.clone(),
            fixture.rule.clone(),
            fixture.kind.clone(),
            fixture.module.clone(),
            fixture.version.clone(),
            fixture.host.clone(),
            fixture.url.clone(),
            fixture.nobody,
        ));
        if got != wanted {
            writeln!(
                wrong,
                "{} ({})\n  want {wanted:?}\n  got  {got:?}",
                fixture.name, fixture.source
            )
            .unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// What somebody has brought, with the verdicts that are right and the words that the advice must and must not hold.
#[derive(Debug, Deserialize)]
struct Report {
    name: String,
    source: String,
    text: String,
    verdict: String,
    /// Other verdicts that do no harm.
    #[serde(default)]
    accept: Vec<String>,
    kind: Option<String>,
    module: Option<String>,
    version: Option<String>,
    host: Option<String>,
    #[serde(default)]
    advice: Vec<String>,
    #[serde(default)]
    advice_not: Vec<String>,
}

impl Report {
    /// Everything that is wrong with what is made of it.
    fn complaints(&self, diagnosis: &Diagnosis) -> Vec<String> {
        let mut wrong = Vec::new();
        let verdict = diagnosis.verdict.as_str();
        if verdict != self.verdict && !self.accept.iter().any(|other| other == verdict) {
            wrong.push(format!("verdict {verdict}, not {}", self.verdict));
        }
        let fault = deciding(diagnosis);
        let fields: [(&str, Option<&str>, Option<&str>); 4] = [
            ("kind", self.kind.as_deref(), fault.map(|f| f.kind.as_str())),
            (
                "module",
                self.module.as_deref(),
                fault.and_then(|f| f.module.as_deref()),
            ),
            (
                "version",
                self.version.as_deref(),
                fault.and_then(|f| f.version.as_deref()),
            ),
            (
                "host",
                self.host.as_deref(),
                fault.and_then(|f| f.host.as_deref()),
            ),
        ];
        for (name, wanted, got) in fields {
            if wanted.is_some() && wanted != got {
                wrong.push(format!("{name} {got:?}, not {wanted:?}"));
            }
        }
        let advice = diagnosis.advice.to_lowercase();
        let holds = |word: &String| advice.contains(&word.to_lowercase());
        wrong.extend(
            self.advice
                .iter()
                .filter(|word| !holds(word))
                .map(|word| format!("no {word:?} in: {advice}")),
        );
        wrong.extend(
            self.advice_not
                .iter()
                .filter(|word| holds(word))
                .map(|word| format!("{word:?} in: {advice}")),
        );
        wrong
    }
}

fn reports(file: &str) -> Vec<Report> {
    let text = fs::read_to_string(root().join("fixtures/reports").join(file)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn every_report_is_read_as_it_should_have_been() {
    let mut wrong = String::new();
    let mut exact = 0;
    let reports: Vec<Report> = ["reported.jsonl", "invented.jsonl", "unseen.jsonl", "tools.jsonl"]
        .into_iter()
        .flat_map(reports)
        .collect();
    for report in &reports {
        let diagnosis = explain(report.text.as_bytes()).diagnosis;
        exact += usize::from(diagnosis.verdict.as_str() == report.verdict);
        for complaint in report.complaints(&diagnosis) {
            writeln!(wrong, "{} ({}): {complaint}", report.name, report.source).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(100 * exact >= 95 * reports.len(), "{exact} of {}", reports.len());
}

#[test]
fn every_rule_decides_a_fixture() {
    let hit: BTreeSet<String> = fixtures()
        .into_iter()
        .map(|f| f.rule)
        .chain(crate::go_strings::deciding_rules())
        .collect();
    let idle: Vec<_> = RULES
        .iter()
        .map(|r| r.id)
        .filter(|id| !hit.contains(*id))
        .collect();
    assert!(
        idle.is_empty(),
        "no fixture and no string of go's is decided by {idle:?}"
    );
}

#[test]
fn advice_is_one_paragraph_and_never_empty() {
    for fixture in fixtures() {
        let diagnosis = diagnose(&fixture.input());
        assert!(!diagnosis.advice.is_empty(), "{}", fixture.name);
        assert!(!diagnosis.advice.contains('\n'), "{}", fixture.name);
    }
}
