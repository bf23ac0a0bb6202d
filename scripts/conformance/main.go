// The program conformance runs Go's own script tests (GOROOT/src/cmd/go/testdata/script) twice, as they are and
// with gofix where the scripts call go, and compares them test by test: nobody may be able to tell.
//
// The test binary of cmd/go is compiled once, with an overlay: GOROOT is not touched, and no text of Go's is kept.
// The overlay adds hook.go.txt, and in go_test.go, copied at run time, it replaces the call of m.Run by one of the
// hook's. A test that ends otherwise is run again alone, several times, and counts for nothing only
// where it turns out to be flaky without gofix, too.
//
//	go run ./scripts/conformance [-run REGEXP] [-long] [-relay on|off|auto] [-shim FILE] ...
//
// Run it with the go that is to be tested, not through gofix. Exit status 1: something ends otherwise.
package main

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"
)

//go:embed hook.go.txt
var hook []byte

const maxExceptions = 5

// With the relay forced on, a run of all scripts proves nothing about it unless this many go commands went through it.
const minRelayed = 300

var (
	goFlag         = flag.String("go", "go", "the go to test")
	shimFlag       = flag.String("shim", "target/debug/go", "the shim, with gofix beside it")
	runFlag        = flag.String("run", "", "run only scripts whose names match this `regexp`")
	longFlag       = flag.Bool("long", false, "run the tests without -short")
	relayFlag      = flag.String("relay", "", "GOFIX_RELAY for the run with gofix: on, off or auto, or several `modes` with commas for a run each")
	parallelFlag   = flag.Int("parallel", 0, "how many scripts at once (default: as many as go test)")
	timeoutFlag    = flag.Duration("timeout", 60*time.Minute, "the time that each of the two runs has")
	exceptionsFlag = flag.String("exceptions", "scripts/conformance/exceptions.txt", "tests that may end otherwise, or need a setting of gofix")
	workFlag       = flag.String("work", "", "keep the test binary, the build cache and both logs in this `folder`")
	reportFlag     = flag.String("report", "", "GOFIX_REPORT for the run with gofix (default: a file in the work folder)")
)

func main() {
	flag.Parse()
	same, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(2)
	}
	if !same {
		os.Exit(1)
	}
}

func run() (bool, error) {
	exceptions, err := readExceptions(*exceptionsFlag)
	if err != nil {
		return false, err
	}
	p, err := prepare()
	if err != nil {
		return false, err
	}
	defer p.clean()
	pattern := *runFlag
	plain, err := p.scripts("plain", pattern, nil)
	if err != nil {
		return false, err
	}
	plain.describe("without gofix")
	if plain.count("pass") == 0 {
		return false, errors.New("no script passes without gofix: nothing can be compared")
	}
	same := true
	for _, relay := range strings.Split(*relayFlag, ",") {
		if *relayFlag != "" {
			fmt.Printf("GOFIX_RELAY=%s\n", relay)
		}
		ok, err := p.compare(plain, pattern, p.gofixEnvironment(relay), relay == "on", exceptions)
		if err != nil {
			return false, err
		}
		same = same && ok
	}
	return same, nil
}

// compare runs the scripts with gofix and judges them.
func (p *place) compare(plain *results, pattern string, env []string, relayed bool, exceptions map[string]exception) (bool, error) {
	if *reportFlag == "" {
		// Of an earlier run in the same folder.
		os.Remove(p.report())
	}
	gofix, err := p.scripts("gofix", pattern, env)
	if err != nil {
		return false, err
	}
	gofix.describe("with gofix")
	if relayed {
		n, err := countRelayed(p.report())
		if err != nil {
			return false, err
		}
		fmt.Printf("%d go commands went through the relay\n", n)
		if pattern == "" && n < minRelayed {
			return false, fmt.Errorf("fewer than %d: this says nothing about the relay", minRelayed)
		}
	}
	return p.judge(plain, gofix, env, exceptions)
}

func (p *place) report() string {
	if *reportFlag != "" {
		return *reportFlag
	}
	return filepath.Join(p.dir, "report.jsonl")
}

// gofixEnvironment is what the run with gofix has beyond that without.
func (p *place) gofixEnvironment(relay string) []string {
	env := []string{"GOFIX_CONFORMANCE_SHIM=" + p.shim}
	if relay != "" {
		env = append(env, "GOFIX_RELAY="+relay)
	}
	if *reportFlag != "" || relay == "on" {
		env = append(env, "GOFIX_REPORT="+p.report())
	}
	// Full, so that nothing is appended to an array that two runs share.
	return env[:len(env):len(env)]
}

// countRelayed reads from a report how many invocations had a run of go with the relay in its GOPROXY.
func countRelayed(report string) (int, error) {
	file, err := os.Open(report)
	if errors.Is(err, os.ErrNotExist) {
		// Nothing was supervised.
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer file.Close()
	runs := map[string]bool{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var event struct{ Event, Run string }
		if !bytes.Contains(lines.Bytes(), []byte("GOPROXY=(relay)")) || json.Unmarshal(lines.Bytes(), &event) != nil {
			continue
		}
		if event.Event == "attempt_started" {
			runs[event.Run] = true
		}
	}
	return len(runs), lines.Err()
}

// A place with the compiled tests.
type place struct {
	dir     string
	goroot  string
	goTool  string
	shim    string
	binary  string
	version string
	keep    bool
}

func prepare() (*place, error) {
	p := &place{dir: *workFlag, keep: *workFlag != ""}
	shim, err := filepath.Abs(*shimFlag)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(shim), "gofix")); err != nil {
		return nil, fmt.Errorf("no gofix beside the shim: %w", err)
	}
	p.shim = shim
	if p.dir == "" {
		p.dir, err = os.MkdirTemp("", "gofix-conformance-")
	} else {
		p.dir, err = filepath.Abs(p.dir)
	}
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"gocache", "home", "tmp"} {
		if err := os.MkdirAll(filepath.Join(p.dir, name), 0o777); err != nil {
			return nil, err
		}
	}
	if err := p.findGo(); err != nil {
		return nil, err
	}
	fmt.Printf("%s in %s\n", p.version, p.goroot)
	return p, p.compile()
}

func (p *place) findGo() error {
	cmd := exec.Command(*goFlag, "env", "GOROOT", "GOVERSION", "GOOS", "GOARCH")
	cmd.Env = append(os.Environ(), "GOFIX=off", "GOTOOLCHAIN=local")
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s env: %w", *goFlag, err)
	}
	lines := strings.Split(string(out), "\n")
	if len(lines) < 4 {
		return fmt.Errorf("%s env says %q", *goFlag, out)
	}
	p.goroot, p.version = lines[0], lines[1]+" "+lines[2]+"/"+lines[3]
	// By its own path, so that a shim in PATH has no part in it.
	p.goTool = filepath.Join(p.goroot, "bin", "go")
	if _, err := os.Stat(filepath.Join(p.goroot, "src/cmd/go/testdata/script")); err != nil {
		return fmt.Errorf("this go comes without its tests: %w", err)
	}
	return nil
}

// compile builds the test binary of cmd/go with the hook in it.
func (p *place) compile() error {
	source := filepath.Join(p.goroot, "src/cmd/go/go_test.go")
	text, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	call := []byte("m.Run()")
	if n := bytes.Count(text, call); n != 1 {
		return fmt.Errorf("%s calls m.Run %d times, not once: this go needs another hook", source, n)
	}
	patched := filepath.Join(p.dir, "go_test.go.patched")
	hooked := filepath.Join(p.dir, "hook.go.txt")
	overlay := filepath.Join(p.dir, "overlay.json")
	replace := map[string]string{
		source: patched,
		filepath.Join(p.goroot, "src/cmd/go/gofix_hook_test.go"): hooked,
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	for file, content := range map[string][]byte{
		patched: bytes.Replace(text, call, []byte("gofixRun(m)"), 1),
		hooked:  hook,
		overlay: data,
	} {
		if err := os.WriteFile(file, content, 0o666); err != nil {
			return err
		}
	}
	p.binary = filepath.Join(p.dir, "go.test")
	start := time.Now()
	cmd := exec.Command(p.goTool, "test", "-c", "-vet=off", "-overlay", overlay, "-o", p.binary, "cmd/go")
	cmd.Env = p.environment()
	cmd.Dir = p.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compiling the tests of cmd/go: %w\n%s", err, out)
	}
	fmt.Printf("compiled the tests in %s\n", time.Since(start).Round(time.Second))
	return nil
}

// environment is that of both runs: nothing of the caller's but what go needs to build.
func (p *place) environment() []string {
	env := []string{
		"PATH=" + filepath.Join(p.goroot, "bin") + ":" + withoutGo(os.Getenv("PATH")),
		"HOME=" + filepath.Join(p.dir, "home"),
		"TMPDIR=" + filepath.Join(p.dir, "tmp"),
		"GOCACHE=" + filepath.Join(p.dir, "gocache"),
		"GOENV=off",
		"GOTOOLCHAIN=local",
		"GOROOT=" + p.goroot,
		"GOWORK=off",
		"LC_ALL=C",
	}
	for _, name := range []string{"CC", "LD_LIBRARY_PATH", "LIBRARY_PATH", "C_INCLUDE_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// withoutGo drops the folders of PATH that have a go, so that the tests find theirs.
func withoutGo(path string) string {
	var kept []string
	for _, dir := range filepath.SplitList(path) {
		if _, err := os.Stat(filepath.Join(dir, "go")); err != nil && filepath.IsAbs(dir) {
			kept = append(kept, dir)
		}
	}
	return strings.Join(kept, ":")
}

func (p *place) clean() {
	if p.keep {
		return
	}
	// Module caches are read-only.
	filepath.Walk(p.dir, func(file string, info os.FileInfo, err error) error {
		if err == nil && info.IsDir() {
			os.Chmod(file, 0o777)
		}
		return nil
	})
	os.RemoveAll(p.dir)
}

// One run of the tests.
type results struct {
	status  map[string]string
	output  map[string]string
	seconds float64
}

// scripts runs the script tests whose names match, through gofix or not.
// A nil environment means without.
func (p *place) scripts(label, pattern string, gofix []string) (*results, error) {
	args := []string{"-test.v=test2json", "-test.run=^TestScript$/(" + pattern + ")", "-test.timeout=" + timeoutFlag.String()}
	if !*longFlag {
		args = append(args, "-test.short")
	}
	if *parallelFlag > 0 {
		args = append(args, fmt.Sprintf("-test.parallel=%d", *parallelFlag))
	}
	tests := exec.Command(p.binary, args...)
	tests.Dir = filepath.Join(p.goroot, "src/cmd/go")
	tests.Env = append(p.environment(), "PWD="+tests.Dir)
	tests.Env = append(tests.Env, gofix...)
	start := time.Now()
	var log bytes.Buffer
	tests.Stdout, tests.Stderr = &log, &log
	runErr := tests.Run()
	if p.keep {
		if err := os.WriteFile(filepath.Join(p.dir, label+".log"), log.Bytes(), 0o666); err != nil {
			return nil, err
		}
	}
	found, err := p.parse(&log)
	if err != nil {
		return nil, err
	}
	found.seconds = time.Since(start).Seconds()
	var failed *exec.ExitError
	if runErr != nil && (!errors.As(runErr, &failed) || len(found.status) == 0) {
		return nil, fmt.Errorf("running the tests: %w\n%s", runErr, tail(log.String(), 40))
	}
	return found, nil
}

// parse reads the log with Go's own converter.
func (p *place) parse(log io.Reader) (*results, error) {
	convert := exec.Command(p.goTool, "tool", "test2json")
	convert.Env = p.environment()
	convert.Stdin = log
	out, err := convert.Output()
	if err != nil {
		return nil, fmt.Errorf("go tool test2json: %w", err)
	}
	found := &results{status: map[string]string{}, output: map[string]string{}}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var event struct{ Action, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &event) != nil {
			continue
		}
		name, ok := strings.CutPrefix(event.Test, "TestScript/")
		if !ok {
			continue
		}
		switch event.Action {
		case "run":
			// One that never ends has no other event.
			found.status[name] = "unfinished"
		case "pass", "fail", "skip":
			found.status[name] = event.Action
		case "output":
			found.output[name] += event.Output
		}
	}
	return found, lines.Err()
}

func (r *results) count(status string) int {
	n := 0
	for _, s := range r.status {
		if s == status {
			n++
		}
	}
	return n
}

func (r *results) describe(label string) {
	fmt.Printf("%-14s %4d scripts: %d passed, %d skipped, %d failed, %d unfinished, %.0f s\n", label+":", len(r.status),
		r.count("pass"), r.count("skip"), r.count("fail"), r.count("unfinished"), r.seconds)
}

// judge says which tests end otherwise, and whether each of them may.
func (p *place) judge(plain, gofix *results, env []string, exceptions map[string]exception) (bool, error) {
	var differing []string
	for name := range union(plain.status, gofix.status) {
		if plain.status[name] != gofix.status[name] {
			differing = append(differing, name)
		}
	}
	sort.Strings(differing)
	used := map[string]bool{}
	same := true
	for _, name := range differing {
		if exception, ok := exceptions[name]; ok {
			used[name] = true
			ok, err := p.holds(name, plain.status[name], env, exception)
			if err != nil {
				return false, err
			}
			same = same && ok
			continue
		}
		flaky, err := p.isFlaky(name, plain.status[name])
		if err != nil {
			return false, err
		}
		if flaky {
			fmt.Printf("flaky without gofix: %s\n", name)
			continue
		}
		same = false
		fmt.Printf("DIFFERENT: %s: %s without gofix, %s with it\n%s\n", name, plain.status[name], gofix.status[name],
			indent(tail(gofix.output[name], 60)))
	}
	for name := range exceptions {
		if _, ran := gofix.status[name]; ran && !used[name] {
			fmt.Printf("note: %s is an exception and ends the same\n", name)
		}
	}
	if same {
		fmt.Println("every script ends with gofix as it does without")
	}
	return same, nil
}

// holds says what an exception is for. One with a setting is none: with that setting the test has to end the same.
func (p *place) holds(name, status string, env []string, allowed exception) (bool, error) {
	if allowed.setting == "" {
		fmt.Printf("exception: %s: %s\n", name, allowed.reason)
		return true, nil
	}
	again, err := p.scripts("setting", exactly(name), append(env, allowed.setting))
	if err != nil {
		return false, err
	}
	if again.status[name] != status {
		fmt.Printf("DIFFERENT: %s: %s without gofix, %s with it and %s\n%s\n", name, status, again.status[name], allowed.setting,
			indent(tail(again.output[name], 60)))
		return false, nil
	}
	fmt.Printf("the same with %s: %s: %s\n", allowed.setting, name, allowed.reason)
	return true, nil
}

// exactly is the expression that only this script's name matches.
func exactly(name string) string { return "^" + regexp.QuoteMeta(name) + "$" }

// isFlaky runs one test alone, without gofix, and says whether it ever ends otherwise than it did.
func (p *place) isFlaky(name, status string) (bool, error) {
	for i := 0; i < 5; i++ {
		again, err := p.scripts("again", exactly(name), nil)
		if err != nil {
			return false, err
		}
		if again.status[name] != status {
			return true, nil
		}
	}
	return false, nil
}

func union(a, b map[string]string) map[string]bool {
	all := map[string]bool{}
	for name := range a {
		all[name] = true
	}
	for name := range b {
		all[name] = true
	}
	return all
}

// A test that may end otherwise, or that ends the same with a setting of gofix.
type exception struct {
	setting string
	reason  string
}

func readExceptions(file string) (map[string]exception, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	exceptions := map[string]exception{}
	otherwise := 0
	for _, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		head, reason, ok := strings.Cut(line, ":")
		reason = strings.TrimSpace(reason)
		if !ok || reason == "" {
			return nil, fmt.Errorf("%s: no reason in %q", file, line)
		}
		name, setting, _ := strings.Cut(head, " ")
		exceptions[name] = exception{setting: setting, reason: reason}
		if setting == "" {
			otherwise++
		}
	}
	if otherwise > maxExceptions {
		return nil, fmt.Errorf("%s has %d exceptions; %d are allowed", file, otherwise, maxExceptions)
	}
	return exceptions, nil
}

func tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}

func indent(text string) string {
	return "\t" + strings.ReplaceAll(text, "\n", "\n\t")
}
