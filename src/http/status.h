#ifndef HTTP_STATUS_H
#define HTTP_STATUS_H

/* The reason phrase of a status code as registered (RFC 9110, 15; IANA), static
 * and never NULL. 500 is "Error", as the screens have it; a code that is not
 * registered gets the word of its class ("Client Error"), beyond 599 "Unknown". */
const char *status_reason(unsigned status);

#endif
