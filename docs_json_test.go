package verifywebhook_test

import (
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// renderTo is the folder for the JSON docs of every module, as Markdown.
var renderTo = flag.String("render", "", "write the JSON docs of every module to this folder")

const modulePath = "github.com/verify-webhook/caddy-verify-webhook"

// source is the documentation of the packages of this repository, by import path.
type source map[string]*sourcePackage

type sourcePackage struct {
	types map[string]*doc.Type
	funcs map[string]*ast.FuncDecl // Type.Method
}

// pkg returns the parsed package of an import path.
func (s source) pkg(t *testing.T, path string) *sourcePackage {
	t.Helper()
	if s[path] != nil {
		return s[path]
	}
	dir := "." + strings.TrimPrefix(path, modulePath)
	files := token.NewFileSet()
	var parsed []*ast.File
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, file)
	}
	p := &sourcePackage{make(map[string]*doc.Type), make(map[string]*ast.FuncDecl)}
	for _, file := range parsed {
		for _, declaration := range file.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv != nil {
				p.funcs[receiver(f)+"."+f.Name.Name] = f
			}
		}
	}
	documented, err := doc.NewFromFiles(files, parsed, path, doc.AllDecls|doc.PreserveAST)
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range documented.Types {
		p.types[typ.Name] = typ
	}
	s[path] = p
	return p
}

// receiver returns the name of a method's receiver type.
func receiver(f *ast.FuncDecl) string {
	typ := f.Recv.List[0].Type
	if pointer, ok := typ.(*ast.StarExpr); ok {
		typ = pointer.X
	}
	if name, ok := typ.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

// typeDoc returns the comment of a type.
func (s source) typeDoc(t *testing.T, typ reflect.Type) string {
	t.Helper()
	if found := s.pkg(t, typ.PkgPath()).types[typ.Name()]; found != nil {
		return found.Doc
	}
	return ""
}

// fieldDoc returns the comment above a field. caddyserver.com does not render a
// comment after it.
func (s source) fieldDoc(t *testing.T, typ reflect.Type, name string) string {
	t.Helper()
	found := s.pkg(t, typ.PkgPath()).types[typ.Name()]
	if found == nil {
		return ""
	}
	for _, spec := range found.Decl.Specs {
		declared, ok := spec.(*ast.TypeSpec)
		if !ok || declared.Name.Name != typ.Name() {
			continue
		}
		structure, ok := declared.Type.(*ast.StructType)
		if !ok {
			return ""
		}
		for _, field := range structure.Fields.List {
			for i, n := range field.Names {
				// A comment above two names documents the first one.
				if n.Name == name && i == 0 {
					return field.Doc.Text()
				}
			}
		}
	}
	return ""
}

// jsonField is a member of a module's JSON: its path and its documentation.
type jsonField struct {
	path  string
	doc   string
	owner reflect.Type
	field reflect.StructField
}

// inThisModule reports whether a type is declared in this repository.
func inThisModule(typ reflect.Type) bool {
	return typ.PkgPath() == modulePath || strings.HasPrefix(typ.PkgPath(), modulePath+"/")
}

// structure returns the struct that pointers, slices and maps lead to, or nil.
func structure(typ reflect.Type) reflect.Type {
	for slices.Contains([]reflect.Kind{reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map}, typ.Kind()) {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct {
		return nil
	}
	return typ
}

// jsonFields returns the members of a struct as encoding/json encodes them, including
// those of embedded and nested structs of this repository.
func (s source) jsonFields(t *testing.T, typ reflect.Type, path string) []jsonField {
	t.Helper()
	var all []jsonField
	for field := range typ.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-", !field.IsExported() && !field.Anonymous:
			continue
		case field.Anonymous && name == "":
			all = append(all, s.jsonFields(t, structure(field.Type), path)...)
			continue
		}
		if name == "" {
			t.Errorf("%s.%s has no json tag", typ, field.Name)
			continue
		}
		all = append(all, jsonField{path + name, s.fieldDoc(t, typ, field.Name), typ, field})
		if nested := structure(field.Type); nested != nil && inThisModule(nested) {
			all = append(all, s.jsonFields(t, nested, path+name+"/")...)
		}
	}
	return all
}

// registered returns the modules of this repository by ID.
func registered(t *testing.T) map[string]reflect.Type {
	t.Helper()
	all := make(map[string]reflect.Type)
	for _, id := range caddy.Modules() {
		info, err := caddy.GetModule(id)
		if err != nil {
			t.Fatal(err)
		}
		if typ := structure(reflect.TypeOf(info.New())); typ != nil && inThisModule(typ) {
			all[id] = typ
		}
	}
	return all
}

// render returns the page of a module as caddyserver.com renders it: the comment
// of the type, in which the module ID replaces the leading type name, and the
// comment of each field under its path.
func (s source) render(t *testing.T, id string, typ reflect.Type) string {
	t.Helper()
	var page strings.Builder
	head := s.typeDoc(t, typ)
	if rest, found := strings.CutPrefix(head, typ.Name()); found {
		head = id + rest
	}
	fmt.Fprintf(&page, "# Module %s\n\n%s\n## Field List\n", id, head)
	for _, field := range s.jsonFields(t, typ, "") {
		text := field.doc
		if text == "" {
			text = "There are no docs for this property.\n"
		}
		fmt.Fprintf(&page, "\n### %s\n\n%s", field.path, text)
		if namespace := moduleNamespace.FindStringSubmatch(string(field.field.Tag)); namespace != nil {
			fmt.Fprintf(&page, "\nFulfilled by modules in namespace: **%s**\n", namespace[1])
		}
	}
	return page.String()
}

var moduleNamespace = regexp.MustCompile(`caddy:"namespace=(\S+)`)

// blurb is the number of characters of a module's page that the list of modules
// shows.
const blurb = 200

// linkWithoutTarget matches a Go doc link, which Markdown prints with its brackets.
var linkWithoutTarget = regexp.MustCompile(`\[\*?[A-Za-z][\w.]*\]([^(:]|$)`)

// TestEveryModuleIsDocumentedForCaddyserver checks each module's page on
// caddyserver.com, which is generated from the comments of its types and fields.
func TestEveryModuleIsDocumentedForCaddyserver(t *testing.T) {
	s := make(source)
	modules := registered(t)
	for _, id := range []string{
		"http.handlers.verify_webhook", "http.handlers.webhook_queue", "http.handlers.webhook_sign", "http.handlers.webhook_relay",
		"http.handlers.webhook_listeners", "http.handlers.webhook_inspector", "verify_webhook", "http.verify_webhook.providers.github",
		"http.verify_webhook.providers.custom", "http.verify_webhook.stores.file", "http.verify_webhook.queues.file", "admin.api.verify_webhook",
	} {
		if modules[id] == nil {
			t.Errorf("%s is not registered", id)
		}
	}
	checked := make(map[reflect.Type]bool)
	for id, typ := range modules {
		if *renderTo != "" && (!checked[typ] || strings.HasSuffix(id, ".github")) {
			name := filepath.Join(*renderTo, id+".md")
			if err := os.WriteFile(name, []byte(s.render(t, id, typ)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if checked[typ] {
			continue // a preset: all have the same type
		}
		checked[typ] = true
		t.Run(id, func(t *testing.T) {
			s.checkHead(t, typ)
			for _, field := range s.jsonFields(t, typ, "") {
				s.checkField(t, field)
			}
			s.checkUnmarshalJSON(t, typ)
		})
	}
}

// syntaxBlock matches the Caddyfile syntax in a comment.
var syntaxBlock = regexp.MustCompile(`\nSyntax[^\t]*:\n\n\t`)

// defaultValue matches the default value in a field's comment.
var defaultValue = regexp.MustCompile(`Default:\s`)

// checkHead checks the comment of a module's type.
func (s source) checkHead(t *testing.T, typ reflect.Type) {
	t.Helper()
	head := s.typeDoc(t, typ)
	if !strings.HasPrefix(head, typ.Name()+" ") {
		t.Errorf("the comment of %s does not start with its name, which the page replaces with the module ID: %q", typ, head)
		return
	}
	first, _, _ := strings.Cut(head, "\n\n")
	if sentence, _, found := strings.Cut(strings.ReplaceAll(first, "\n", " ")+" ", ". "); !found || len(sentence) >= blurb {
		t.Errorf("the first sentence of %s has %d characters, but the list of modules shows %d: %q", typ, len(sentence), blurb, sentence)
	}
	checkLinks(t, typ.String(), head)
	_, isDirective := reflect.TypeAssert[caddyfile.Unmarshaler](reflect.New(typ))
	if s.pkg(t, typ.PkgPath()).funcs[typ.Name()+".UnmarshalCaddyfile"] != nil || isDirective {
		if !syntaxBlock.MatchString(head) {
			t.Errorf("the comment of %s does not show its Caddyfile syntax", typ)
		}
	}
}

func checkLinks(t *testing.T, what, text string) {
	t.Helper()
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "\t") {
			continue // code
		}
		if link := linkWithoutTarget.FindString(line); link != "" && !strings.Contains(text, strings.TrimRight(link, " .,;\n")+": ") {
			t.Errorf("%s: caddyserver.com does not render %s as a link: write the name in backquotes", what, link)
		}
	}
}

// checkField checks the comment of a field: it consists of sentences and states the
// default of an optional field.
func (s source) checkField(t *testing.T, field jsonField) {
	t.Helper()
	name := field.owner.String() + "." + field.field.Name
	switch text := strings.TrimSpace(field.doc); {
	case text == "":
		t.Errorf("%s (%s) has no comment", name, field.path)
	case !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "`"):
		t.Errorf("the comment of %s does not end with a full stop: %q", name, text)
	case !defaultValue.MatchString(text) && !strings.Contains(text, "Required"):
		t.Errorf("the comment of %s contains neither `Default: ` nor `Required`: %q", name, text)
	default:
		checkLinks(t, name, text)
	}
	if nested := structure(field.field.Type); nested != nil && inThisModule(nested) && s.typeDoc(t, nested) == "" {
		t.Errorf("%s has no comment", nested)
	}
}

// plainDecoding matches the body of an UnmarshalJSON that decodes exactly the fields
// of its type.
var plainDecoding = regexp.MustCompile(`^\{\s*type plain (\w+)\s+return option\.StrictJSON\(raw, \(\*plain\)\((\w)\)\)\s*\}$`)

// checkUnmarshalJSON checks that the fields of a type describe its JSON: it may have
// an UnmarshalJSON only to decode the same fields with better errors.
func (s source) checkUnmarshalJSON(t *testing.T, typ reflect.Type) {
	t.Helper()
	f := s.pkg(t, typ.PkgPath()).funcs[typ.Name()+".UnmarshalJSON"]
	if f == nil {
		return
	}
	file := bodyOf(t, typ, f)
	if match := plainDecoding.FindStringSubmatch(file); match == nil || match[1] != typ.Name() {
		t.Errorf("%s has a custom UnmarshalJSON, so its JSON can differ from its fields: %s", typ, file)
	}
}

// bodyOf returns the text of a method's body.
func bodyOf(t *testing.T, typ reflect.Type, f *ast.FuncDecl) string {
	t.Helper()
	dir := "." + strings.TrimPrefix(typ.PkgPath(), modulePath)
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	begin := fmt.Sprintf(`) %s(`, f.Name.Name)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) || strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, part := range strings.Split(string(text), "\nfunc (")[1:] {
			declared, rest, found := strings.Cut(part, begin)
			if !found || strings.TrimLeft(declared[strings.LastIndex(declared, " ")+1:], "*") != typ.Name() {
				continue
			}
			_, body, _ := strings.Cut(rest, " error ")
			body, _, _ = strings.Cut(body, "\n}\n")
			return body + "\n}"
		}
	}
	t.Fatalf("no source found for %s.%s", typ, f.Name.Name)
	return ""
}
