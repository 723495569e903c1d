// Renders a Helm chart as Helm does, with Go's templates and the same functions (sprig), for tests
// where Helm itself is not packaged:
//
//	render_chart CHART RELEASE [VALUES.yaml ...]
//
// Prints the documents, each behind a line "---". Values of later files win, key by key.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"gopkg.in/yaml.v3"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "render_chart:", err)
		os.Exit(1)
	}
}

func readYaml(path string) map[string]interface{} {
	text, err := os.ReadFile(path)
	check(err)
	values := map[string]interface{}{}
	check(yaml.Unmarshal(text, &values))
	return values
}

func merge(into, from map[string]interface{}) {
	for key, value := range from {
		below, isMap := value.(map[string]interface{})
		target, hasMap := into[key].(map[string]interface{})
		if isMap && hasMap {
			merge(target, below)
		} else {
			into[key] = value
		}
	}
}

// Chart.yaml's keys as templates name them: appVersion is .Chart.AppVersion.
func exported(chart map[string]interface{}) map[string]interface{} {
	out := map[string]interface{}{}
	for key, value := range chart {
		out[strings.ToUpper(key[:1])+key[1:]] = value
	}
	return out
}

func toYaml(value interface{}) (string, error) {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	err := encoder.Encode(value)
	return strings.TrimSuffix(out.String(), "\n"), err
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: render_chart CHART RELEASE [VALUES.yaml ...]")
		os.Exit(2)
	}
	chart, release := os.Args[1], os.Args[2]
	values := readYaml(filepath.Join(chart, "values.yaml"))
	for _, path := range os.Args[3:] {
		merge(values, readYaml(path))
	}
	root := template.New("").Option("missingkey=zero").Funcs(sprig.TxtFuncMap())
	root.Funcs(template.FuncMap{
		"toYaml": toYaml,
		"include": func(name string, data interface{}) (string, error) {
			var out strings.Builder
			err := root.ExecuteTemplate(&out, name, data)
			return out.String(), err
		},
	})
	files, err := filepath.Glob(filepath.Join(chart, "templates", "*"))
	check(err)
	for _, path := range files {
		text, err := os.ReadFile(path)
		check(err)
		_, err = root.New(filepath.Base(path)).Parse(string(text))
		check(err)
	}
	data := map[string]interface{}{
		"Values":  values,
		"Chart":   exported(readYaml(filepath.Join(chart, "Chart.yaml"))),
		"Release": map[string]interface{}{"Name": release, "Service": "Helm", "Namespace": "default"},
	}
	for _, path := range files {
		if filepath.Ext(path) != ".yaml" {
			continue
		}
		var out bytes.Buffer
		check(root.ExecuteTemplate(&out, filepath.Base(path), data))
		if text := strings.TrimSpace(out.String()); text != "" {
			fmt.Printf("---\n# %s\n%s\n", filepath.Base(path), text)
		}
	}
}
