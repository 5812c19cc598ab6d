#include "auth/secret.h"

#include <string.h>

const char *secret_key_id(const char *token)
{
	return strcmp(token, SECRET_DEV) == 0 ? "dev" : "default";
}

bool secret_is_token(const char *token)
{
	size_t len = strnlen(token, SECRET_MAX + 1);

	if (len == 0 || len > SECRET_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (token[i] <= 0x20 || token[i] > 0x7e)
			return false;
	return true;
}

void secret_make(const unsigned char random[15], char out[SECRET_MADE])
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567"; /* RFC 4648, 6 */
	unsigned bits = 0, have = 0;
	size_t at = 0;

	for (unsigned i = 0, n = 0; i < 24; i++) {
		if (have < 5) {
			bits = bits << 8 | random[n++];
			have += 8;
		}
		have -= 5;
		if (i && i % 4 == 0)
			out[at++] = '-';
		out[at++] = digits[bits >> have & 31];
	}
	out[at] = '\0';
}
