package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
)

const placeholder = "##########"

// bodies makes request bodies from a template.
type bodies struct {
	template []byte
	offset   int
}

func newBodies(template []byte) (bodies, error) {
	if bytes.Count(template, []byte(placeholder)) != 1 {
		return bodies{}, errors.New("the body has to contain ten number signs, once")
	}
	return bodies{template, bytes.Index(template, []byte(placeholder))}, nil
}

// forUser is the body that names the user of the number.
func (b bodies) forUser(number uint64) []byte {
	body := bytes.Clone(b.template)
	copy(body[b.offset:], fmt.Sprintf("%0*d", len(placeholder), number))
	return body
}

// newClient has one HTTP/2 connection, or as many HTTP/1.1 connections as it has calls in flight.
func newClient(s settings) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(s.grpc && s.tls == nil)
	protocols.SetHTTP2(s.grpc && s.tls != nil)
	protocols.SetHTTP1(!s.grpc)
	dialer := new(net.Dialer)
	dial := dialer.DialContext
	if s.unix != "" {
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", s.unix)
		}
	}
	return &http.Client{Transport: &http.Transport{
		DialContext:         dial,
		Protocols:           protocols,
		TLSClientConfig:     s.tls,
		DisableCompression:  true,
		MaxIdleConnsPerHost: s.streams,
	}}
}

// newTLS trusts the authorities of a file, and shows a certificate if there is one.
func newTLS(authorities, certificate, key string) (*tls.Config, error) {
	pem, err := os.ReadFile(authorities)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: x509.NewCertPool()}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in " + authorities)
	}
	if certificate != "" {
		own, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{own}
	}
	return config, nil
}

// connect makes the client's connection by a health check, which counts for nothing. Calls that begin at once without
// one would each make a connection, of which all but one are dropped again.
func connect(client *http.Client, s settings) error {
	url, err := url.Parse(s.url)
	if err != nil {
		return err
	}
	url.Path = "/grpc.health.v1.Health/Check"
	request, err := http.NewRequest(http.MethodPost, url.String(), bytes.NewReader(make([]byte, 5)))
	if err != nil {
		return err
	}
	request.Header = s.header
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// call posts one body. It returns the size of the response's body and, if the call failed, what to count it as.
func call(client *http.Client, s settings, body []byte) (size int64, failure string) {
	request, err := http.NewRequest(http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	request.Header = s.header
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	if size, err = io.Copy(io.Discard, response.Body); err != nil {
		return size, err.Error()
	}
	if response.StatusCode != http.StatusOK {
		return size, "HTTP status " + response.Status
	}
	if s.grpc {
		return size, grpcFailure(response)
	}
	return size, ""
}

// grpcFailure reads the status from the trailers, or from the headers of a response that has only trailers.
func grpcFailure(response *http.Response) string {
	status := response.Trailer.Get("grpc-status")
	if status == "" {
		status = response.Header.Get("grpc-status")
	}
	if status == "0" {
		return ""
	}
	return fmt.Sprintf("grpc-status %q", status)
}
