#include "net/verify.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/text.h"

#ifndef OPENSSL_IS_BORINGSSL
#error "these are not BoringSSL's headers"
#endif

static int slot(void)
{
	static int index = -1;

	if (index < 0)
		index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	return index;
}

int verify_init(void)
{
	return slot() < 0 ? -1 : 0;
}

static struct verify *verify_of(SSL *ssl)
{
	return SSL_get_ex_data(ssl, slot());
}

static void append(char *out, size_t cap, const char *text)
{
	size_t len = strlen(out);

	snprintf(out + len, cap - len, "%s%s", len ? ", " : "", text);
}

static void add_name(struct verify *v, const GENERAL_NAME *name)
{
	char text[256] = "";

	if (name->type == GEN_DNS)
		text_escape(ASN1_STRING_get0_data(name->d.dNSName),
			(size_t)ASN1_STRING_length(name->d.dNSName), text, sizeof text);
	else if (name->type == GEN_IPADD)
		inet_ntop(ASN1_STRING_length(name->d.iPAddress) == 4 ? AF_INET : AF_INET6,
			ASN1_STRING_get0_data(name->d.iPAddress), text, sizeof text);
	if (text[0])
		append(v->names, sizeof v->names, text);
}

static void keep_names(struct verify *v, X509 *cert)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);

	for (size_t i = 0; names && i < sk_GENERAL_NAME_num(names); i++)
		add_name(v, sk_GENERAL_NAME_value(names, i));
	if (!v->names[0])
		snprintf(v->names, sizeof v->names, "no name at all");
	GENERAL_NAMES_free(names);
}

static void keep_date(struct verify *v, const ASN1_TIME *time)
{
	ASN1_GENERALIZEDTIME *full = ASN1_TIME_to_generalizedtime(time, NULL);
	const char *s = full ? (const char *)ASN1_STRING_get0_data(full) : "????????";
	int seconds;

	snprintf(v->date, sizeof v->date, "%.4s-%.2s-%.2s", s, s + 4, s + 6);
	if (!ASN1_TIME_diff(&v->days, &seconds, time, NULL))
		v->days = 0;
	ASN1_GENERALIZEDTIME_free(full);
}

/* What tls_context.c makes for a server that was given none: it names itself alone. */
static bool is_made(X509 *cert)
{
	char name[16] = "";

	X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name, sizeof name);
	return strcmp(name, VERIFY_MADE_NAME) == 0 &&
		X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)) == 0;
}

static int on_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct verify *v = verify_of(ssl);
	X509 *cert = X509_STORE_CTX_get_current_cert(store);

	if (ok || !cert)
		return ok;
	v->error = X509_STORE_CTX_get_error(store);
	v->is_made = is_made(cert);
	keep_names(v, cert);
	keep_date(v, v->error == X509_V_ERR_CERT_NOT_YET_VALID ? X509_get0_notBefore(cert) :
		X509_get0_notAfter(cert));
	return 0;
}

void verify_install(struct ssl_ctx_st *context)
{
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, on_verify);
}

int verify_attach(struct verify *v, struct ssl_st *ssl)
{
	*v = (struct verify){ .error = X509_V_OK };
	return SSL_set_ex_data(ssl, slot(), v) ? 0 : -1;
}

bool verify_doubt(const X509 *cert, int days, char *out, size_t cap)
{
	struct verify v = { .error = X509_V_OK };

	if (!cert)
		return false;
	keep_date(&v, X509_get0_notBefore(cert));
	if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0) {
		snprintf(out, cap, "not valid before %s; clients with --tls refuse it", v.date);
		return true;
	}
	keep_date(&v, X509_get0_notAfter(cert));
	if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
		snprintf(out, cap, "expired %s; clients with --tls refuse it", v.date);
	else if (-v.days < days)
		snprintf(out, cap, "expires %s, in %d day%s", v.date, -v.days, v.days == -1 ? "" : "s");
	else
		return false;
	return true;
}

static const char *clock_text(char *buf, size_t cap)
{
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(buf, cap, "%Y-%m-%d %H:%M UTC", &tm);
	return buf;
}

bool verify_explain(const struct verify *v, const char *host, const char *ca,
	 char *what, size_t what_cap, char *hint, size_t hint_cap)
{
	bool by_system = strcmp(ca, "system") == 0;
	char now[32];

	*hint = '\0';
	switch (v->error) {
	case X509_V_OK:
		return false;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		snprintf(what, what_cap, "certificate is for %s, not for %s", v->names, host);
		snprintf(hint, hint_cap, "on the server: gotunnel gencert --force --host %s", host);
		break;
	case X509_V_ERR_CERT_HAS_EXPIRED:
		snprintf(what, what_cap, "certificate expired %s, %d day%s ago by this clock (%s)",
			v->date, v->days, v->days == 1 ? "" : "s", clock_text(now, sizeof now));
		snprintf(hint, hint_cap, "on the server: gotunnel gencert --force --host %s", host);
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		snprintf(what, what_cap, "certificate is not valid before %s, in %d day%s by this clock (%s)",
			v->date, -v->days, v->days == -1 ? "" : "s", clock_text(now, sizeof now));
		snprintf(hint, hint_cap, "set the clock of this machine or of the server");
		break;
	default:
		snprintf(what, what_cap, "certificate is not signed by %s",
			by_system ? "the system's roots" : ca);
		snprintf(hint, hint_cap, "%s", !by_system ?
			"copy the server's ca-cert.pem; public certificate: "
			"--tls-ca system; no certificates: leave out --tls" : v->is_made ?
			"the server shows no certificate of a CA: start it with --tls, or leave out "
			"--tls here" :
			"copy the server's ca-cert.pem and add --tls-ca FILE; no certificates: leave out "
			"--tls");
	}
	return true;
}
