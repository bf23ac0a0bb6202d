//! What the program's ends mean, for its help, its manual pages and the documents.

/// The exit statuses, with what each means.
pub const EXIT_STATUSES: &[(&str, &str)] = &[
    (
        "go's own",
        "A go command run by gofix: the status of the last run of go, whatever it is.",
    ),
    (
        "signal N",
        "go was killed by signal N: gofix ends by the same signal, which shells show as 128+N.",
    ),
    ("0", "One of gofix's own commands succeeded."),
    (
        "1",
        "One of gofix's own commands failed, or found a problem (`doctor`, `rehearse`, `cache verify`, `config check`, `shim status`). Also \
         `go mod tidy` if some lookups failed on every try, so that its result may be wrong: go.mod and go.sum are left as \
         they were.",
    ),
    ("2", "Invalid usage: a mistake on the command line of gofix."),
    (
        "3",
        "`gofix doctor` or `gofix routes test` found something broken; for these two, 1 means warnings only.",
    ),
    (
        "124",
        "gofix stopped the last run of go because it stalled or the budget was used up. Also `gofix wait` if its time ran out.",
    ),
    ("126", "The real go was found but cannot be executed."),
    (
        "127",
        "There is no real go; gofix prints where in PATH it looked.",
    ),
];
