#include "core/code.h"

#include <stddef.h>

static const struct {
	const char *name, *text;
} codes[] = {
#define X(name, number, text) [number] = { #name, text },
	CODE_LIST(X)
#undef X
};

enum { NCODES = sizeof codes / sizeof codes[0] };

const char *code_text(unsigned code)
{
	return code < NCODES ? codes[code].text : "unknown code";
}

const char *code_name(unsigned code)
{
	return code < NCODES ? codes[code].name : "UNKNOWN";
}
