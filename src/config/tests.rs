use super::*;

fn load(file: Option<&str>, environment: &[(&str, &str)]) -> Result<Config> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("omni.toml");
    std::fs::write(&path, file.unwrap_or_default()).unwrap();
    Config::load_from(Some(&path), &|name| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        .map_err(|error| Error::bad_request(error.message().replace(&*path.to_string_lossy(), "omni.toml")))
}

#[test]
fn environment_overrides_file_overrides_default() {
    let file = "[limits]\nrequest_timeout_s = 5\nbody_timeout_s = 7\n";
    let config = load(Some(file), &[("REQUEST_TIMEOUT", "9"), ("MAX_TOKENS_DEFAULT", ""), ("LOG_LEVEL", "WARN")]).unwrap();
    assert_eq!(config.limits.request_timeout_s, 9);
    assert_eq!(config.limits.body_timeout_s, 7);
    assert_eq!(config.generation.max_tokens, None);
    assert_eq!(config.log.level, Level::Warn);
}

#[test]
fn threads_are_the_cores_that_there_are_or_that_memory_buys() {
    for (cores, memory_mb, threads) in [
        (1, None, 1),
        (16, None, 16),
        // Lambda shows two cores to the smallest function, and six to the largest.
        (2, Some(128), 1),
        (2, Some(1769), 1),
        (2, Some(1770), 2),
        (6, Some(3538), 2),
        (6, Some(3539), 3),
        (6, Some(10_240), 6),
        (1, Some(10_240), 1),
    ] {
        assert_eq!(threads_of(cores, memory_mb), threads, "{cores} cores, {memory_mb:?} MB");
    }
    let config = load(None, &[("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")]).unwrap();
    assert_eq!((config.lambda.memory_mb, config.threads()), (Some(512), 1));
}

#[test]
fn indexes_are_read_ahead_where_nobody_waits() {
    let mebibytes = |environment: &[(&str, &str)]| load(None, environment).unwrap().lambda.warm_bytes() >> 20;
    assert_eq!(mebibytes(&[]), 0);
    assert_eq!(mebibytes(&[("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")]), 0);
    assert_eq!(mebibytes(&[("AWS_LAMBDA_INITIALIZATION_TYPE", "provisioned-concurrency")]), 256);
    assert_eq!(mebibytes(&[("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start"), ("OMNI_LAMBDA_WARM_MB", "0")]), 0);
    assert_eq!(mebibytes(&[("OMNI_LAMBDA_WARM_MB", "64")]), 64);
}

#[test]
fn a_file_is_read_as_variables_are() {
    let file = "index = \"\"\n[log]\nlevel = \"WARNING\"\nformat = \"JSON\"\n[providers.custom]\nmodel = \" \"\n[generation.preferred]\nby = \"cheapest\"";
    let config = load(Some(file), &[]).unwrap();
    assert_eq!((config.index, config.log), (None, Log { level: Level::Warn, format: LogFormat::Json }));
    assert_eq!((config.providers["custom"].model.as_ref(), config.generation.preferred.by), (None, PreferredBy::Cheapest));
}

#[test]
fn a_file_that_a_variable_names_is_told_with_it() {
    let error = Config::load_from(None, &|name| (name == "OMNI_CONFIG").then(|| "/nowhere".into())).unwrap_err();
    let missing = "/nowhere: No such file or directory (os error 2); check the path";
    assert_eq!(error.message(), format!("`OMNI_CONFIG`: {missing}"));
    let error = Config::load_from(Some(Path::new("/nowhere")), &|_| None).unwrap_err();
    assert_eq!(error.message(), missing);
}

#[test]
fn what_the_file_says_is_told_with_its_key() {
    let file = "prices = \"p\"\nmodel = \" \"\n[net]\nallowed_hosts = [\"h\"]\n[providers.custom]\nbase_url = \"http://h\"\n[providers.bedrock]\nregion = \"r\"";
    let config = load(Some(file), &[("OMNI_ALLOWED_HOSTS", "h")]).unwrap();
    let variables = "`OMNI_PRICES` `OMNI_MODEL` `OMNI_ALLOWED_HOSTS` `CUSTOM_BASE_URL` `AWS_REGION`";
    let said = located(&config.places, Error::bad_request(variables)).message().to_owned();
    let place = |key: &str| {
        let place = config.places.values().find(|place| place.starts_with(&format!("`{key}` in "))).unwrap();
        assert!(place.ends_with("/omni.toml"), "{place}");
        place
    };
    let [prices, base_url] = ["prices", "providers.custom.base_url"].map(place);
    assert_eq!(said, format!("{prices} `OMNI_MODEL` `OMNI_ALLOWED_HOSTS` {base_url} `AWS_REGION`"));
    assert_eq!(located(&load(None, &[]).unwrap().places, Error::bad_request(variables)).message(), variables);
}

#[test]
fn every_example_does_what_its_key_in_the_file_does() {
    for row in variables() {
        let config = load(None, &[(row.name, row.example)]).unwrap_or_else(|why| panic!("{}: {why}", row.name));
        let (table, key) = row.key.rsplit_once('.').unwrap_or(("", row.key));
        let names: Vec<String> = row.example.split(',').map(|name| format!("\"{name}\"")).collect();
        let value = match row.name {
            CONFIG_VARIABLE => continue,
            "SSL_CERT_FILE" | "SSL_CERT_DIR" | "AWS_LWA_INVOKE_MODE" => "true".to_owned(),
            "PREFERRED_PROVIDERS" => "{ by = \"cheapest\", providers = [\"openai\", \"custom\"] }".to_owned(),
            // One variable for several rows.
            "AWS_REGION" | "AWS_DEFAULT_REGION" | "GOOGLE_CLOUD_PROJECT" | "GOOGLE_CLOUD_LOCATION" => String::new(),
            "OMNI_INDEXES" | "FALLBACK_PROVIDERS" | "OMNI_ALLOWED_HOSTS" | "OMNI_ALLOWED_ORIGINS" | "OMNI_ACCESS_LABELS" => {
                format!("[{}]", names.join(","))
            }
            _ if row.example == "true" || row.example == "false" || row.example.parse::<f64>().is_ok() => row.example.to_owned(),
            _ => format!("\"{}\"", row.example),
        };
        if table.is_empty() && key.is_empty() || value.is_empty() {
            assert_ne!(config, load(None, &[]).unwrap(), "{}", row.name);
            continue;
        }
        let head = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
        let from_file = load(Some(&format!("{head}{key} = {value}\n")), &[]).unwrap();
        assert_eq!(config, Config { places: BTreeMap::new(), ..from_file }, "{}", row.name);
    }
}

#[test]
fn every_key_of_a_variable_is_a_key_of_the_file() {
    for row in variables().filter(|row| !row.key.is_empty()) {
        let (table, key) = row.key.rsplit_once('.').unwrap_or(("", row.key));
        let head = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
        let message = load(Some(&format!("{head}{key} = [[]]\n")), &[]).unwrap_err().message().to_owned();
        assert!(!message.contains("unknown field"), "{}: {message}", row.name);
    }
}

#[test]
fn every_variable_is_documented() {
    let page = include_str!("../../docs/configuration.md");
    for row in variables() {
        let line = page.lines().find(|line| line.starts_with(&format!("| `{}` |", row.name)));
        let line = line.unwrap_or_else(|| panic!("docs/configuration.md has no row for `{}`", row.name));
        assert!(
            row.key.is_empty() || line.contains(&format!("`{}`", row.key)),
            "{}: the row should name `{}`",
            row.name,
            row.key
        );
    }
}

#[test]
fn mistakes_are_named_with_their_remedy() {
    let texts = [
        (
            load(Some("indx = \"kb.omni\""), &[]),
            "omni.toml: line 1: unknown field `indx`, expected one of `addr`, `allowed_origins`",
        ),
        (load(Some("[limits]\n\nrequest_timeout = 3"), &[]), "omni.toml: line 3: unknown field `request_timeout`"),
        (load(Some("[lambda]\nwarm_mb = 40000"), &[]), "omni.toml: `lambda.warm_mb`: 40000 is not between 0 and 32768"),
        (
            load(Some("[log]\nlevel = \"loud\""), &[]),
            "omni.toml: line 2: `loud` is none of `trace`, `debug`, `info`, `warn`, `error`",
        ),
        (load(Some("addr = \" \"\n[limits]\nrequest_timeout_s = \"\"\n[log]\n\nlevel = 3"), &[]), "omni.toml: line 6: "),
        (load(Some("index = \"\"\n[log]\nlevl = \"info\""), &[]), "omni.toml: line 3: unknown field `levl`"),
        (
            load(Some("[generation.preferred]\nby = \"listed\""), &[]),
            "omni.toml: line 1: a list names nobody; write `providers = [...]`, or prefer by `cheapest` or `fastest`",
        ),
        (load(Some("[retrieval]\ntop_k = \"5\""), &[]), "omni.toml: line 2: invalid type: string \"5\", expected a whole number"),
        (load(Some("[retrieval]\ntop_k = 0"), &[]), "omni.toml: `retrieval.top_k`: 0 is not between 1 and 100"),
        (
            load(None, &[("REQUEST_TIMEOUT", "1h")]),
            "`REQUEST_TIMEOUT`: `1h` is not a number between 1 and 900; write for example `REQUEST_TIMEOUT=60`, or unset it",
        ),
        (load(None, &[("LOG_LEVEL", "loud")]), "`LOG_LEVEL`: `loud` is none of `trace`, `debug`, `info`, `warn`, `error`; write"),
        (
            load(None, &[("OMNI_ALLOWED_HOSTS", "groq.com,https://api.openai.com/v1")]),
            "`OMNI_ALLOWED_HOSTS`: `https://api.openai.com/v1` is not a host alone; its host is `api.openai.com`; write for example",
        ),
        (
            load(Some("[net]\nallowed_hosts = [\"*.openai.com\", \"[::1]\", \"api.openai.com:443\"]"), &[]),
            "omni.toml: `net.allowed_hosts`: `api.openai.com:443` is not a host alone; its host is `api.openai.com`",
        ),
        (
            load(Some("allowed_origins = [\"https://app.example.com\"]"), &[]),
            "omni.toml: `allowed_origins`: `https://app.example.com` is not a host alone; its host is `app.example.com`",
        ),
        (load(None, &[("CUSTOM_BASE_URL", "ftp://x")]), "`CUSTOM_BASE_URL`: `ftp` is not an `http` or `https` URL; write"),
        (
            load(None, &[("CUSTOM_BASE_URL", "https://x.example/v1?api-version=1")]),
            "`CUSTOM_BASE_URL`: the URL has a `?` or a `#`, and nothing behind these would be sent; end it with the path; write",
        ),
        (load(None, &[("TEMPERATURE_DEFAULT", "NaN")]), "`TEMPERATURE_DEFAULT`: `NaN` is not a number between 0 and 2; write"),
    ];
    for (outcome, expected) in texts {
        let message = outcome.unwrap_err().message().to_owned();
        assert!(message.starts_with(expected), "{message}\n{expected}");
    }
}

#[test]
fn keys_come_from_files_and_references_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "sk-file\n").unwrap();
    let named = path.to_string_lossy().into_owned();
    let config = load(
        Some("[providers.mine]\nlike = \"custom\"\nkey_variable = \"MY_KEY\""),
        &[("OPENAI_API_KEY_FILE", &named), ("MY_KEY_FILE", &named), ("GROQ_API_KEY", "aws-secret:prod/groq#key")],
    )
    .unwrap();
    let key = |name: &str| config.providers[name].api_key.as_ref().unwrap().expose().to_owned();
    assert_eq!(
        (key("openai"), key("mine"), key("groq")),
        ("sk-file".into(), "sk-file".into(), "aws-secret:prod/groq#key".into())
    );
    let message = |environment: &[(&str, &str)]| load(None, environment).unwrap_err().message().replace(&named, "KEY");
    assert_eq!(
        message(&[("OPENAI_API_KEY_FILE", &named), ("OPENAI_API_KEY", "sk-x")]),
        "`OPENAI_API_KEY_FILE`: `OPENAI_API_KEY` is set, too; unset one of them"
    );
    let missing = "`OPENAI_API_KEY_FILE`: /nowhere: No such file or directory (os error 2); check the path";
    assert_eq!(message(&[("OPENAI_API_KEY_FILE", "/nowhere")]), missing);
    for bad in ["aws-secret:", "aws-secret:#key", "aws-secret:name#"] {
        let expected = "`OPENAI_API_KEY`: `aws-secret:NAME` or `aws-secret:NAME#FIELD` names a secret; write for example";
        assert!(message(&[("OPENAI_API_KEY", bad)]).starts_with(expected), "{bad}");
    }
    std::fs::write(&path, " \n").unwrap();
    assert_eq!(message(&[("OPENAI_API_KEY_FILE", &named)]), "`OPENAI_API_KEY_FILE`: KEY: empty; write the key into it");
    // Only keys are read from files.
    assert_eq!(load(None, &[("OPENAI_MODEL_FILE", &named)]).unwrap().providers.get("openai"), None);
}

#[test]
fn keys_are_never_shown() {
    let config = load(None, &[("OPENAI_API_KEY", "sk-hidden")]).unwrap();
    assert_eq!(config.providers["openai"].api_key.as_ref().unwrap().expose(), "sk-hidden");
    assert!(!format!("{config:?}").contains("hidden"));
    let message = load(None, &[("OPENAI_API_KEY", "sk hidden")]).unwrap_err().message().to_owned();
    assert!(!message.contains("hidden"), "{message}");
    assert!(load(Some("[providers.openai]\napi_key = \"sk-hidden\""), &[]).is_err());
}

#[test]
fn a_proxy_that_cannot_be_used_is_not_passed_by_in_silence() {
    let message = |environment: &[(&str, &str)]| {
        let variable = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        check_proxies(&variable).err().map(|error| error.message().to_owned()).unwrap_or_default()
    };
    for fine in ["proxy:3128", "10.0.0.1:3128", "http://user:pass@proxy:3128/", "https://proxy", "proxy", "http://[::1]:3128"] {
        assert_eq!(message(&[("HTTP_PROXY", fine), ("https_proxy", fine)]), "", "{fine}");
    }
    for wrong in ["htp://hidden", "http://", "nonsense:xx", "http://a b"] {
        let said = message(&[("HTTPS_PROXY", wrong)]);
        assert_eq!(
            said, "`HTTPS_PROXY`: no address of a proxy; write for example `HTTPS_PROXY=http://proxy:3128`, or unset it",
            "{wrong}"
        );
    }
    let socks = ("all_proxy", "socks5h://127.0.0.1:1080");
    let said = "`all_proxy`: `socks5h` is not spoken here, a proxy of HTTP is; write for example `all_proxy=http://proxy:3128`, or unset it";
    assert_eq!(message(&[socks]), said);
    assert_eq!(message(&[socks, ("HTTP_PROXY", "proxy:1")]), said);
    assert_eq!(message(&[socks, ("HTTP_PROXY", "proxy:1"), ("HTTPS_PROXY", "proxy:1")]), "", "nobody reads it");
}
