// Command crossvet type-checks packages for other systems, tests included, and runs
// the analyzers of go vet that do not need the compiled code of dependencies. Run it in
// the folder of a module:
//
//	crossvet linux/arm64 windows/amd64 …
//
// go vet itself compiles every dependency for every system first, which takes minutes
// per system on two cores. crossvet reads the declarations of dependencies from source
// and skips their function bodies.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"
)

func main() {
	failed := false
	for _, target := range os.Args[1:] {
		for _, problem := range vet(target) {
			failed = true
			fmt.Fprintf(os.Stderr, "%s: %v\n", target, problem)
		}
	}
	if failed {
		os.Exit(1)
	}
}

// vet returns the errors that it finds in the module of the working directory for a
// target such as windows/amd64.
func vet(target string) []error {
	system, processor, ok := strings.Cut(target, "/")
	if !ok {
		return []error{errors.New("invalid target: write, for example, windows/amd64")}
	}
	listed, err := list(system, processor)
	if err != nil {
		return []error{err}
	}
	l := &loader{
		fset:    token.NewFileSet(),
		sizes:   types.SizesFor("gc", processor),
		checked: map[string]*types.Package{"unsafe": types.Unsafe},
	}
	l.parse(listed)
	var ours []*packages.Package
	for _, p := range listed { // dependencies come first
		if checked := l.check(p); !p.DepOnly {
			ours = append(ours, checked)
		}
	}
	if len(ours) == 0 {
		return []error{errors.New("no packages found: run crossvet in the folder of a module")}
	}
	if len(l.errs) > 0 {
		return l.errs
	}
	return analyze(ours)
}

// listing is a package in the output of go list.
type listing struct {
	ImportPath string
	Dir        string
	Name       string
	GoFiles    []string
	ImportMap  map[string]string
	ForTest    string
	DepOnly    bool
	Module     *struct{ GoVersion string }
	Error      *struct{ Err string }

	files []*ast.File
}

// list returns the packages of the module, their tests and all their dependencies,
// each package after its dependencies.
func list(system, processor string) (all []*listing, err error) {
	cmd := exec.Command("go", "list", "-deps", "-test", "-e", "-json=ImportPath,Dir,Name,GoFiles,ImportMap,ForTest,DepOnly,Module,Error", "./...")
	cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+processor, "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing packages: %w", err)
	}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(listing)
		switch err := decoder.Decode(p); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("reading the list of packages: %w", err)
		case p.Error != nil:
			return nil, fmt.Errorf("%s: %s", p.ImportPath, p.Error.Err)
		}
		// The main function of a test is generated in the build cache. The package
		// unsafe is built into the type checker.
		if !strings.HasSuffix(p.ImportPath, ".test") && p.ImportPath != "unsafe" {
			all = append(all, p)
		}
	}
}

type loader struct {
	fset    *token.FileSet
	sizes   types.Sizes
	checked map[string]*types.Package

	mu   sync.Mutex
	errs []error
}

func (l *loader) report(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
}

// parse reads the files of all packages.
func (l *loader) parse(all []*listing) {
	var running sync.WaitGroup
	free := make(chan struct{}, runtime.NumCPU())
	for _, p := range all {
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			mode := parser.SkipObjectResolution
			if !p.DepOnly {
				mode |= parser.ParseComments
			}
			for _, name := range p.GoFiles {
				f, err := parser.ParseFile(l.fset, filepath.Join(p.Dir, name), nil, mode)
				if err != nil {
					l.report(err)
					continue
				}
				p.files = append(p.files, f)
			}
		})
	}
	running.Wait()
}

// check type-checks a package whose dependencies are already checked.
func (l *loader) check(p *listing) *packages.Package {
	info := &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Instances: map[*ast.Ident]types.Instance{},
		Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{},
		Implicits: map[ast.Node]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{},
		Scopes: map[ast.Node]*types.Scope{}, FileVersions: map[*ast.File]string{},
	}
	config := types.Config{
		Importer:         importer{l, p.ImportMap},
		Sizes:            l.sizes,
		IgnoreFuncBodies: p.DepOnly,
		Error: func(err error) {
			if !p.DepOnly {
				l.report(err)
			}
		},
	}
	if p.Module != nil && p.Module.GoVersion != "" {
		config.GoVersion = "go" + p.Module.GoVersion
	}
	if p.DepOnly {
		info = nil
	}
	path, _, _ := strings.Cut(p.ImportPath, " ") // as in "a/b [a/b.test]"
	checked, _ := config.Check(path, l.fset, p.files, info)
	l.checked[p.ImportPath] = checked
	return &packages.Package{
		ID: p.ImportPath, PkgPath: path, Name: p.Name, Fset: l.fset,
		Syntax: p.files, Types: checked, TypesInfo: info, TypesSizes: l.sizes,
		Imports: map[string]*packages.Package{},
		Module:  &packages.Module{GoVersion: strings.TrimPrefix(config.GoVersion, "go")},
	}
}

// importer resolves the imports of a package to checked packages.
type importer struct {
	*loader
	names map[string]string
}

func (i importer) Import(path string) (*types.Package, error) {
	if name, ok := i.names[path]; ok {
		path = name // of a vendored package, or of one compiled for a test
	}
	if p := i.checked[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("%s is not loaded", path)
}

// analyze returns the findings of the analyzers.
func analyze(all []*packages.Package) (found []error) {
	graph, err := checker.Analyze(analyzers, all, nil)
	if err != nil {
		return []error{err}
	}
	seen := map[string]bool{} // a file belongs to the package and to its test variant
	for action := range graph.All() {
		if action.Err != nil {
			found = append(found, fmt.Errorf("%s: %w", action, action.Err))
		}
		for _, d := range action.Diagnostics {
			line := fmt.Sprintf("%s: %s", action.Package.Fset.Position(d.Pos), d.Message)
			if action.IsRoot && !seen[line] {
				seen[line] = true
				found = append(found, errors.New(line))
			}
		}
	}
	return found
}
