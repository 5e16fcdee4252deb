package config

import (
	"errors"
	"net/url"
	"strings"
)

// Address says where a part of a vault is: itself an address without a password, or "file:" and the path of a file
// whose first line is one.
type Address string

const addressInFile = "file:"

// Read returns the address itself, from its file where it is in one.
func (a Address) Read() (SecretText, error) {
	path, inFile := strings.CutPrefix(string(a), addressInFile)
	if !inFile {
		return SecretText(a), nil
	}
	line, err := readSecret(path)
	if err != nil {
		return "", &Error{string(a), err.Error()}
	}
	return SecretText(line), nil
}

// checkDatabase never repeats the value, which may have a password.
func checkDatabase(v string) error {
	if path, ok := strings.CutPrefix(v, addressInFile); ok {
		return checkAddressFile(path)
	}
	u, err := url.Parse(v)
	switch {
	case err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql":
		return errors.New("must be an address such as postgres://USER@HOST/NAME, or file:PATH")
	case hasPassword(u):
		return errors.New("shows a password to other programs; put the address into a file, and name that as file:PATH")
	}
	return nil
}

func hasPassword(u *url.URL) bool {
	_, is := u.User.Password()
	return is || u.Query().Has("password") || u.Query().Has("sslpassword")
}

func checkObjects(v string) error {
	if path, ok := strings.CutPrefix(v, addressInFile); ok {
		return checkAddressFile(path)
	}
	if u, err := url.Parse(v); err != nil || u.Scheme != "s3" || u.Host == "" || u.User != nil {
		return errors.New("must be an address such as s3://BUCKET/PREFIX?endpoint=https://HOST&region=NAME")
	}
	return nil
}

func checkAddressFile(path string) error {
	if path == "" {
		return errors.New("must name a file, as file:PATH")
	}
	return nil
}
