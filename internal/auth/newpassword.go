package auth

import "context"

// HashPassword checks a new password by a policy and returns its PHC string. It waits for a turn, as checking a
// password does: each takes 64 MiB. ErrBusy comes without any work.
func (s *Service) HashPassword(ctx context.Context, p Policy, password string) (string, error) {
	normal, err := p.normal(password)
	if err != nil {
		return "", err
	}
	if err := s.verifier.acquire(ctx); err != nil {
		return "", err
	}
	defer func() { <-s.verifier.slots }()
	return hashNormal(s.rand, normal)
}
