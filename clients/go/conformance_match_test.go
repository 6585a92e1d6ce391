package tokend_test

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"

	"tokend.internal/go"
)

var variable = regexp.MustCompile(`\$\{(\w+)\}`)

// expand replaces the variables in a JSON value and expands repetitions.
func (p *play) expand(value any) any {
	switch value := value.(type) {
	case string:
		return variable.ReplaceAllStringFunc(value, func(found string) string {
			text, known := p.variables[found[2:len(found)-1]]
			if !known {
				p.t.Fatalf("no variable %s", found)
			}
			return text
		})
	case []any:
		expanded := make([]any, len(value))
		for i, each := range value {
			expanded[i] = p.expand(each)
		}
		return expanded
	case map[string]any:
		if text, times, ok := repetition(value); ok {
			return strings.Repeat(p.expand(text).(string), times)
		}
		expanded := map[string]any{}
		for name, each := range value {
			expanded[p.expand(name).(string)] = p.expand(each)
		}
		return expanded
	}
	return value
}

func repetition(value map[string]any) (text string, times int, ok bool) {
	text, isText := value["repeat"].(string)
	number, isNumber := value["times"].(float64)
	return text, int(number), isText && isNumber && len(value) == 2
}

// mismatch returns where a JSON value differs from the expected one; empty if it matches. Objects may have more
// members, lists are sets, "*" is any non-empty string, {"absent": true} is no value.
func mismatch(expected, actual any, path string) string {
	switch expected := expected.(type) {
	case string:
		if text, ok := actual.(string); expected == "*" && ok && text != "" {
			return ""
		}
	case map[string]any:
		if reflect.DeepEqual(expected, map[string]any{"absent": true}) {
			if actual == nil || reflect.ValueOf(actual).IsZero() {
				return ""
			}
			return path + " is there"
		}
		return mismatchOfObject(expected, actual, path)
	case []any:
		if list, ok := actual.([]any); ok && slices.Equal(sorted(expected), sorted(list)) {
			return ""
		}
	}
	if reflect.DeepEqual(expected, actual) {
		return ""
	}
	return path + " differs"
}

func mismatchOfObject(expected map[string]any, actual any, path string) string {
	object, ok := actual.(map[string]any)
	if !ok {
		return path + " is no object"
	}
	for name, value := range expected {
		if found := mismatch(value, object[name], path+"."+name); found != "" {
			return found
		}
	}
	return ""
}

func sorted(list []any) []string {
	var texts []string
	for _, each := range list {
		texts = append(texts, fmt.Sprintf("%#v", each))
	}
	slices.Sort(texts)
	return texts
}

// expectedError is the expected typed error; nil means any value, except for the reason, where it means none.
type expectedError struct {
	Code         string   `json:"code"`
	Reason       *string  `json:"reason"`
	AWSErrorCode *string  `json:"aws_error_code"`
	AWSRequestID *bool    `json:"aws_request_id"`
	RetryDelay   *bool    `json:"retry_delay"`
	Violations   []string `json:"violations"`
	ResourceType *string  `json:"resource_type"`
	Downstream   *string  `json:"downstream"`
}

// check returns the differences of an error; empty if it matches.
func (e expectedError) check(err error) string {
	failed, ok := asError(err)
	if errors.Is(err, tokend.ErrClosed) {
		failed, ok = &tokend.Error{Code: codes.Canceled}, true
	}
	if !ok {
		return fmt.Sprintf("%v is no typed error", err)
	}
	var fields []string
	for _, violation := range failed.Violations {
		fields = append(fields, violation.Field)
	}
	for name, shown := range map[string]bool{
		"code":           e.Code == code.Code(failed.Code).String(),
		"reason":         valueOr(e.Reason, "") == string(failed.Reason),
		"aws_error_code": valueOr(e.AWSErrorCode, failed.AWSErrorCode) == failed.AWSErrorCode,
		"aws_request_id": valueOr(e.AWSRequestID, failed.AWSRequestID != "") == (failed.AWSRequestID != ""),
		"retry_delay":    valueOr(e.RetryDelay, failed.RetryDelay > 0) == (failed.RetryDelay > 0),
		"violations":     e.Violations == nil || slices.Equal(set(e.Violations), set(fields)),
		"downstream":     e.Downstream == nil || *e.Downstream == code.Code(tokend.DownstreamCode(err)).String(),
		"resource_type":  valueOr(e.ResourceType, failed.ResourceType) == failed.ResourceType,
	} {
		if !shown {
			return fmt.Sprintf("%s is not as expected in %v with %+v", name, err, *failed)
		}
	}
	return ""
}

func valueOr[T any](value *T, otherwise T) T {
	if value == nil {
		return otherwise
	}
	return *value
}

func set(texts []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(texts)))
}
