package explain

import (
	"maps"
	"slices"
	"strings"

	"github.com/rhysd/actionlint"

	"github.com/slipway-cd/slipway/internal/workflow/expr"
)

// matrix is the combinations that a job runs with: one without a name where it
// has no matrix, none where they are not known.
type matrix struct {
	declared  bool
	rows      []map[string]any
	dependsOn []string
	agents    []string
}

// mostRows is how many jobs a matrix makes at most (GitHub docs: Workflow
// syntax, jobs.<job_id>.strategy.matrix).
const mostRows = 256

func (r *run) matrix(j *actionlint.Job) matrix {
	if j.Strategy == nil || j.Strategy.Matrix == nil {
		return matrix{rows: []map[string]any{{}}}
	}
	s := scope{expr.Scope{Lookup: func(path []string) expr.Value { return r.lookup(path, texts(j.Needs)) }}, r.kinds}
	m := matrix{declared: true}
	v := s.combinations(j.Strategy.Matrix)
	if v.Unknown() {
		m.dependsOn = v.DependsOn
		if r.Agents != nil {
			m.agents = r.Agents(r.Event.Changed)
		}
		return m
	}
	m.rows = v.Of.([]map[string]any)
	return m
}

// shown is the matrix for people, nil where the job has none.
func (m matrix) shown() *Matrix {
	if !m.declared {
		return nil
	}
	out := &Matrix{Jobs: len(m.rows), From: m.from(), DependsOn: m.dependsOn}
	if len(out.From) > 0 {
		out.Agents = m.agents
	}
	return out
}

// from are the jobs whose outputs make the matrix.
func (m matrix) from() []string {
	var jobs []string
	for _, on := range m.dependsOn {
		parts := strings.Split(on, ".")
		if len(parts) > 2 && strings.EqualFold(parts[0], "needs") && !slices.Contains(jobs, parts[1]) {
			jobs = append(jobs, parts[1])
		}
	}
	return jobs
}

// lookup is a name in a combination, or what else it is.
func (m matrix) lookup(path []string, row int, other func() expr.Value) expr.Value {
	switch {
	case path[0] != "matrix":
		return other()
	case len(m.rows) == 0:
		return expr.Unread(path)
	}
	var of any = m.rows[row]
	for _, name := range path[1:] {
		of = expr.Property(of, name)
	}
	return expr.Known(of)
}

// combinations are those of a matrix: all that its rows make, less exclude,
// with include. Its value is a []map[string]any.
func (s scope) combinations(m *actionlint.Matrix) expr.Value {
	if m.Expression != nil {
		return s.fromExpression(m.Expression.Value)
	}
	product := []map[string]any{{}}
	if len(m.Rows) == 0 {
		product = nil // include alone
	}
	for _, name := range slices.Sorted(maps.Keys(m.Rows)) {
		values := s.row(m.Rows[name])
		if values.Unknown() {
			return values
		}
		product = multiply(product, name, values.Of.([]any))
		if len(product) > mostRows {
			return expr.Unknown("a matrix of more than 256 jobs, which GitHub refuses")
		}
	}
	exclude, include := s.listed(m.Exclude), s.listed(m.Include)
	if on := expr.Join(exclude, include); on != nil {
		return expr.Unknown(on...)
	}
	rows := slices.DeleteFunc(product, func(row map[string]any) bool {
		return slices.ContainsFunc(exclude.Of.([]map[string]any), func(e map[string]any) bool { return within(e, row) })
	})
	return expr.Known(added(rows, include.Of.([]map[string]any)))
}

func multiply(rows []map[string]any, name string, values []any) []map[string]any {
	var product []map[string]any
	for _, row := range rows {
		for _, v := range values {
			if len(product) > mostRows {
				return product
			}
			product = append(product, with(row, map[string]any{name: v}))
		}
	}
	return product
}

func with(row, more map[string]any) map[string]any {
	whole := maps.Clone(row)
	maps.Copy(whole, more)
	return whole
}

// within says whether a row has all that a part of one has.
func within(part, row map[string]any) bool {
	for k, v := range part {
		if have, ok := row[k]; !ok || expr.InText(have) != expr.InText(v) {
			return false
		}
	}
	return true
}

// added are the rows with what include adds: to each row of which it
// overwrites nothing, else as a row of its own (GitHub docs: Workflow syntax,
// jobs.<job_id>.strategy.matrix.include).
func added(rows, include []map[string]any) []map[string]any {
	out := slices.Clone(rows)
	for _, more := range include {
		fits := false
		for i, original := range rows {
			if clashes(original, more) {
				continue
			}
			out[i], fits = with(out[i], more), true
		}
		if !fits {
			out = append(out, more)
		}
	}
	return out
}

func clashes(row, more map[string]any) bool {
	for k, v := range more {
		if have, ok := row[k]; ok && expr.InText(have) != expr.InText(v) {
			return true
		}
	}
	return false
}

// row is the values of one name, a []any.
func (s scope) row(row *actionlint.MatrixRow) expr.Value {
	if row.Expression != nil {
		v := s.Template(row.Expression.Value)
		if list, ok := v.Of.([]any); ok || v.Unknown() {
			return expr.Value{Of: list, DependsOn: v.DependsOn}
		}
		return expr.Unknown(strings.TrimSpace(row.Expression.Value))
	}
	var values []any
	for _, each := range row.Values {
		v := s.raw(each)
		if v.Unknown() {
			return v
		}
		values = append(values, v.Of)
	}
	return expr.Known(values)
}

// raw is a value of the file with its expressions evaluated.
func (s scope) raw(raw actionlint.RawYAMLValue) expr.Value {
	switch v := raw.(type) {
	case *actionlint.RawYAMLString:
		return s.scalar(v.Value, v.Pos())
	case *actionlint.RawYAMLArray:
		list := make([]any, len(v.Elems))
		for i, each := range v.Elems {
			item := s.raw(each)
			if item.Unknown() {
				return item
			}
			list[i] = item.Of
		}
		return expr.Known(list)
	case *actionlint.RawYAMLObject:
		object := map[string]any{}
		for name, each := range v.Props {
			item := s.raw(each)
			if item.Unknown() {
				return item
			}
			object[name] = item.Of
		}
		return expr.Known(object)
	}
	return expr.Known(nil)
}

// listed is what include or exclude list, a []map[string]any.
func (s scope) listed(c *actionlint.MatrixCombinations) expr.Value {
	rows := []map[string]any{}
	if c == nil {
		return expr.Known(rows)
	}
	if c.Expression != nil {
		v := s.Template(c.Expression.Value)
		if v.Unknown() {
			return v
		}
		return objects(v.Of, c.Expression.Value)
	}
	for _, each := range c.Combinations {
		if each.Expression != nil {
			return expr.Unknown(strings.TrimSpace(each.Expression.Value))
		}
		row := map[string]any{}
		for name, assign := range each.Assigns {
			v := s.raw(assign.Value)
			if v.Unknown() {
				return v
			}
			row[name] = v.Of
		}
		rows = append(rows, row)
	}
	return expr.Known(rows)
}

func objects(of any, text string) expr.Value {
	list, _ := of.([]any)
	rows := []map[string]any{}
	for _, each := range list {
		row, ok := each.(map[string]any)
		if !ok {
			return expr.Unknown(strings.TrimSpace(text))
		}
		rows = append(rows, row)
	}
	return expr.Known(rows)
}

// fromExpression is a whole matrix that an expression makes.
func (s scope) fromExpression(text string) expr.Value {
	v := s.Template(text)
	if v.Unknown() {
		return v
	}
	whole, ok := v.Of.(map[string]any)
	if !ok {
		return expr.Unknown(strings.TrimSpace(text))
	}
	product, rows := []map[string]any{{}}, 0
	var include, exclude expr.Value
	for name, of := range whole {
		switch strings.ToLower(name) {
		case "include":
			include = objects(of, text)
		case "exclude":
			exclude = objects(of, text)
		default:
			list, _ := of.([]any)
			product = multiply(product, strings.ToLower(name), list)
			rows++
		}
	}
	if on := expr.Join(include, exclude); on != nil {
		return expr.Unknown(on...)
	}
	if rows == 0 {
		product = nil
	}
	more, _ := include.Of.([]map[string]any)
	less, _ := exclude.Of.([]map[string]any)
	product = slices.DeleteFunc(product, func(row map[string]any) bool {
		return slices.ContainsFunc(less, func(e map[string]any) bool { return within(e, row) })
	})
	return expr.Known(added(product, more))
}
