/* base/pki.h - X.509 (RFC 5280): the service provider's root, its certificates, and path
 * validation.
 *
 * EKUs       private arc 2.25.<UUID>: PKI_EKU_PS (provisioning server), PKI_EKU_GC (gate
 * controller), PKI_EKU_CODE (BTI code images); values in pki.c and docs/protocol.md. Errors E_AUTH
 * with a plain reason in `why` (expired, wrong root, wrong EKU, name mismatch ...). Threads    safe
 * on distinct objects. */
#ifndef BASE_PKI_H
#define BASE_PKI_H

#include "base/crypto.h"
#include "base/stir_tn.h"

enum pki_role { PKI_PS, PKI_GC, PKI_CODE };
#define PKI_CHAIN_MAX_CERTS 5    /* leaf, up to 3 intermediates, (root) */
#define PKI_CERT_MAX_BYTES  4096 /* DER, each */
#define PKI_WHY_MAX         128

struct pki_root; /* pinned root(s), loaded from a PEM file */
MUST_CHECK enum err pki_root_load(const char *pem_path, struct pki_root **out);
MUST_CHECK enum err pki_root_parse(struct view pem, struct pki_root **out); /* from memory */
void pki_root_free(struct pki_root *r);

/* chain[0] is the leaf; each a DER view. Validates the path to the pinned root at wall time now_us,
 * the EKU of `role`, keyUsage (PS: keyAgreement), and that dns_name is a DNS SAN (exact,
 * case-insensitive; NULL: any). out_pub: the leaf's P-256 point. */
MUST_CHECK enum err pki_verify(const struct pki_root *root, const struct view *chain, size_t n,
                               enum pki_role role, const char *dns_name, uint64_t now_us,
                               uint8_t out_pub[P256_POINT_BYTES], char why[PKI_WHY_MAX]);

/* PEM file with one or more certificates -> DER, leaf first, into one buffer. */
struct pki_chain {
    size_t n;
    struct view der[PKI_CHAIN_MAX_CERTS]; /* point into buf */
    uint8_t buf[PKI_CHAIN_MAX_CERTS * PKI_CERT_MAX_BYTES];
};
MUST_CHECK enum err pki_chain_load(const char *pem_path, struct pki_chain *out);
/* PEM PKCS#8 or SEC1 P-256 private key, mode 0600 demanded. */
MUST_CHECK enum err pki_key_load(const char *pem_path, struct p256_key *out);
MUST_CHECK enum err pki_key_save(const char *pem_path,
                                 const struct p256_key *k); /* 0600, E_EXISTS */
/* PEM SubjectPublicKeyInfo: the half that anybody may have. */
MUST_CHECK enum err pki_public_load(const char *pem_path, uint8_t out[P256_POINT_BYTES]);
MUST_CHECK enum err pki_public_save(const char *pem_path,
                                    const uint8_t pub[P256_POINT_BYTES]); /* 0644, E_EXISTS */

/* Issuing, for `headgatectl pki`. not_before_us .. +days. ca: path length and signing key. */
struct pki_subject {
    const char *common_name;
    const char *dns_name; /* SAN; NULL for a CA */
    uint64_t not_before_us;
    unsigned days;
};
MUST_CHECK enum err pki_make_root(const struct pki_subject *s, const struct p256_key *key,
                                  const char *out_pem_path);
MUST_CHECK enum err pki_issue(const char *ca_pem_path, const struct p256_key *ca_key,
                              const struct pki_subject *s, enum pki_role role,
                              const uint8_t subject_pub[P256_POINT_BYTES],
                              const char *out_pem_path);
/* A certificate that signs PASSporTs (RFC 8226) for that provider code, range or number; its
 * dns_name is not looked at. E_PARSE: no such entry. */
MUST_CHECK enum err pki_issue_stir(const char *ca_pem_path, const struct p256_key *ca_key,
                                   const struct pki_subject *s, const struct stir_tn *numbers,
                                   const uint8_t subject_pub[P256_POINT_BYTES],
                                   const char *out_pem_path);

#endif
