/*
 * tests/unit/sign_vectors.h - keys and signatures that openssl made, once: what the tests of sign/ check against.
 */
#ifndef SIGN_VECTORS_H
#define SIGN_VECTORS_H

static const char key_p256[] = "-----BEGIN PUBLIC KEY-----\n"
                               "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEOiM3Xd2BQw8A0toZJLQiJSV6SHIk\n"
                               "VkHvbmJpzFdGXmR1t5RaDrqrJQ7OkVp2lUxaFkqw4tZ5C4O190cnDC2eAQ==\n"
                               "-----END PUBLIC KEY-----\n";

static const char key_p384[] = "-----BEGIN PUBLIC KEY-----\n"
                               "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEXARyZBbCkeefiRsk+khBs6C+Lf4YQfau\n"
                               "1Qe+UBVS5Nuu6s03S5h4Us+spfSmlURUMHAQKFGtkU0A4OR6EifR8FfR3AwtMoR4\n"
                               "2zfiS4l2LruKuXoYM8Qw0q4th2L0VNW8\n"
                               "-----END PUBLIC KEY-----\n";

static const char key_p521[] = "-----BEGIN PUBLIC KEY-----\n"
                               "MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQBlxOMKGgVAifkNlTP30siXrEFZff1\n"
                               "2xMQ/dkVeUS7nagsvpBpyUI7ctlo23ITXx/DooP4qoSNVOYQ49HDXdWqo9wA67p9\n"
                               "v/02g5Ayj3BaGkILk9nhvahnd6yhotz6QqoK12BYWuRo3vJrhJWMjgZEWfZIev+1\n"
                               "OU/DXtjp7vjAcQD0LGM=\n"
                               "-----END PUBLIC KEY-----\n";

static const char key_other[] = "-----BEGIN PUBLIC KEY-----\n"
                                "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEXTttDUsP5HbM4rzR07x+2YX+v88K\n"
                                "B5OviS+fzFd/oK/lvb9ULpohANOMAvDmDr1PwvZ8FEeEtlCjj6ejlrGWgQ==\n"
                                "-----END PUBLIC KEY-----\n";

static const char key_secp256k1[] = "-----BEGIN PUBLIC KEY-----\n"
                                    "MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAENsdW/STWZi+sh/3Z29fEiFxhSJI8F4yZ\n"
                                    "eaiFME+8BZZnsMh+fRYs7NEx5V9SxiIN42q/4XZj0DE840vVss65hA==\n"
                                    "-----END PUBLIC KEY-----\n";

static const char key_rsa2048[] = "-----BEGIN PUBLIC KEY-----\n"
                                  "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA8htV3eLK3E19UOtskkL3\n"
                                  "swldlnVDjsy7aZZr8P3s+s5Ja2Q3GiqPd64hk4tjBY34bqe99BNHxW5Z6H3ODxmg\n"
                                  "j+dCO2q8gElHz7K1WSRNjoW/vHhNZJhPDKgGKEbH2RkYUazSr1W/qBLvIvY480i2\n"
                                  "dxVJZTNt4WDdECZXON900SMVDjERT+Norxxc6ezoPrfVyYT0M0roC6Qb+yTVKD0E\n"
                                  "6mzP4nAtbR5TKmI0G4QFPLEg2grsQKYxkogjhXaYdEFluXQxNrhKGJIatnBloNhi\n"
                                  "Qk3/81Wr0Vf53tMifIzVIaSgZSuFb8j5SdwUybLHdqQAKmWS7T+OumERm7YNV4nE\n"
                                  "5wIDAQAB\n"
                                  "-----END PUBLIC KEY-----\n";

static const char key_rsa1024[] = "-----BEGIN PUBLIC KEY-----\n"
                                  "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCkafBgVuyBEOhr5vRrWgrtz34K\n"
                                  "8kAlAF8flWnjLnn07ah71Ysa/D0uDqPlAA6WbyG/B246YEvaOgmXdJbDH+qee8hO\n"
                                  "MxB63xKyEb3ydXdzP4HxLp0UdktyQzVLezplAn4CwzLNahppuwlhha5kRYjTyv43\n"
                                  "nwNKkvykNfNiV5a+WQIDAQAB\n"
                                  "-----END PUBLIC KEY-----\n";

static const char key_ed25519[] = "-----BEGIN PUBLIC KEY-----\n"
                                  "MCowBQYDK2VwAyEACV5v87TKp2Zy+rx8gU58CDu3mQn6xrKWWzv/7lRP3hg=\n"
                                  "-----END PUBLIC KEY-----\n";

static const char key_private[] = "-----BEGIN PRIVATE KEY-----\n"
                                  "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQ7p0WbzjHLjrpKXk\n"
                                  "HX2sGTw7UvbPUTy17WuqcEjarfOhRANCAAQ6Izdd3YFDDwDS2hkktCIlJXpIciRW\n"
                                  "Qe9uYmnMV0ZeZHW3lFoOuqslDs6RWnaVTFoWSrDi1nkLg7X3RycMLZ4B\n"
                                  "-----END PRIVATE KEY-----\n";

static const char key_certificate[] = "-----BEGIN CERTIFICATE-----\n"
                                      "MIIBbDCCAROgAwIBAgIUIdWg++Zi52beKhRk7W8P5mGUCO0wCgYIKoZIzj0EAwIw\n"
                                      "DDEKMAgGA1UEAwwBeDAeFw0yNjExMjYwNDM4NTlaFw0yNjExMjcwNDM4NTlaMAwx\n"
                                      "CjAIBgNVBAMMAXgwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQ6Izdd3YFDDwDS\n"
                                      "2hkktCIlJXpIciRWQe9uYmnMV0ZeZHW3lFoOuqslDs6RWnaVTFoWSrDi1nkLg7X3\n"
                                      "RycMLZ4Bo1MwUTAdBgNVHQ4EFgQUji2HwDC+VWLph21pkNNipxtfYjgwHwYDVR0j\n"
                                      "BBgwFoAUji2HwDC+VWLph21pkNNipxtfYjgwDwYDVR0TAQH/BAUwAwEB/zAKBggq\n"
                                      "hkjOPQQDAgNHADBEAiA9T/GJQw/juqWwi65GYJVs65MYxjlVdqEiarGp6Dx1yQIg\n"
                                      "ZPYIMOSfse3MOFZ6/Lv12Zy3KxVBc473bTwxCnT/zPw=\n"
                                      "-----END CERTIFICATE-----\n";

static const char key_rsa2048_pkcs1[] = "-----BEGIN RSA PUBLIC KEY-----\n"
                                        "MIIBCgKCAQEA8htV3eLK3E19UOtskkL3swldlnVDjsy7aZZr8P3s+s5Ja2Q3GiqP\n"
                                        "d64hk4tjBY34bqe99BNHxW5Z6H3ODxmgj+dCO2q8gElHz7K1WSRNjoW/vHhNZJhP\n"
                                        "DKgGKEbH2RkYUazSr1W/qBLvIvY480i2dxVJZTNt4WDdECZXON900SMVDjERT+No\n"
                                        "rxxc6ezoPrfVyYT0M0roC6Qb+yTVKD0E6mzP4nAtbR5TKmI0G4QFPLEg2grsQKYx\n"
                                        "kogjhXaYdEFluXQxNrhKGJIatnBloNhiQk3/81Wr0Vf53tMifIzVIaSgZSuFb8j5\n"
                                        "SdwUybLHdqQAKmWS7T+OumERm7YNV4nE5wIDAQAB\n"
                                        "-----END RSA PUBLIC KEY-----\n";

#define SIGNED_DIGEST "sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f" /* of "manifest" */

#define INDEX_DIGEST "sha256:1bc04b5291c26a46d918139138b992d2de976d6851d0893b0476b85bfbdfc6e6" /* of "index" */

static const char payload[] = "{\"critical\":{\"identity\":{\"docker-reference\":\"registry.test/"
                              "app\"},\"image\":{\"docker-manifest-digest\":\"sha256:"
                              "05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f\"},\"type\":\"cosign "
                              "container image signature\"},\"optional\":null}";

static const char signature_p256_sha256[] =
    "MEUCIEAj/fmteJ/qNY2nXHjgeJjxAsFZvG1mMTl6mITk0yHbAiEA6bDfU4kN+FWiulH6qxlWSSXS2YECp9OtudItqaoXWXk=";

static const char signature_p256_sha384[] =
    "MEUCIFT3uNLfI8voPOvdDgvd435kSfidnasdgAv7QgLJHgX/AiEAltRQiRWa9DjtsR8hCZGDxxuA2IpS1ldg710UmO0st0I=";

static const char signature_p256_sha512[] =
    "MEUCIAn+yI3vZcp6Pa/Evl6Qi4yjBeAIvJaTPHKX3bAuBeYNAiEAoowXxHjjOKHUftTu39I5T5ETb8o+nSjy/9s81sgGMDw=";

static const char signature_p384_sha256[] =
    "MGYCMQDlRTkGOhs5hOY6r+Vss2BYWSpdBTvHqvf4M4jc+TVg6kNP18QeiWKlLLFddI0WB3QCMQDhKfYmTNIek5+"
    "1bDQmMpLPOf5w3b92IibEjKBMXrXfwKYop6hou1jiT/Az2cm6I3w=";

static const char signature_p384_sha384[] = "MGQCMCxg0ejq8cTBnujpRudmBlsCgyWOEwPx01xK2ASTitxMQPrPuikv5j4CIVRBAsEx8QIwAV"
                                            "3MRsct5OLdT/W+lQWQhGiPc6lx9I93/eAKKDB261OcI5xzjO0s5kbwy2vVxE73";

static const char signature_p384_sha512[] =
    "MGUCMQD7/lrmCEr/Hq/jK2hGy6SmekoOneXFPJUGElxoFXdkZ3/"
    "fKUMfha+XG4LU+wu2Fv0CMBwa5jsbMOXrEXEzbCk2UlP0NfzvecEvmAaOTvWcWgSxtGCgoQF5dVaibm/I5GxSOA==";

static const char signature_p521_sha256[] = "MIGHAkEHvybn3SVIql6QTHp5bNQmvfd2s9mt/Fo/6iBMq3Oes7tzfDxkJLCYx9/"
                                            "35kxMTVh09i+RI4cBa8I2u4V5NCqQugJCAPakD6sjM0p3kY+DNgLxXNskbT++"
                                            "g6DEdl8kihqIdW/cVpF4AlNPdXYo9VqmhSH3jZ9AGd3fnAvo0sa9UOFXIuYZ";

static const char signature_p521_sha384[] =
    "MIGIAkIBZbpEFAJhIm5sMNjzLQ6yrYB78QPh74C5CEYarCoEzir/pRMpdZ+ghG7S9sfOmbFaAqE0ZLWXsputubDPHFIJY00CQgD1/"
    "uiqlK0UCaucEj10MrQmFTQ6jymRtNQw4/7pbkwvMmc/GXDvWwhGRR6FUc2r9eS8Nl8q416qDQh3BybiUahEEw==";

static const char signature_p521_sha512[] =
    "MIGHAkIA+PdeYgTxEiYaPHcC7lMFspU8/7OygVNrTrDJ+sdHMTS+8UA+Qxj/0xfnbjoj2pEFDDuIbZqoVwvcae25DWZmXvICQUVn/"
    "PBFf8o5Qzg5oo1mzcYTf7mYWw1p4Bz7hAsjTBtDKMik6RyAEXTr+XgsVOAvgNDW4TWH3sqN3cqC87Kj4Cq0";

static const char signature_rsa2048_sha256[] =
    "WeBANbVgZdU3XoUa3gdpx0ocWgd6QjfZdCgGu/wPShFXZfuJxFsqSbohvvo/CpdGwVmabqJp2XtK0J6i/qyiwutqZU9klG5N5qy36GVdAQkY6/"
    "QnYoLoaOSBFAfejptB9mObFkjYc36TtWcxCmLCBKhGSefKqt1Pd4KEbuo+hEc1nbYifPVNGM+"
    "brsS8rAJNZtwXbQuFU4CEdex8isySNH44RG3ILvMWR5j4kyab08saaU+XZfMREaoJgw9OGBYKObvXNuPovvJcBCRtl4sLWvhmKVtqYzo/"
    "m7D4iWLwSoT+QGkruLMrq8SPdumVqV9mLMIBXEfaHjImYAdcBbPfag==";

static const char signature_rsa2048_sha384[] =
    "iCMcR49I/5p3u8r2AawNMm2nFMJbpxOD/"
    "U16phvcBcuyEw2d5uah3+"
    "2XsUUBZSkfwAfJ95WfO60G5gi462bEwqmNA3hGlwxjs9QpitEnapTh1TWwvszQXWJ9EAsrMvjwJ7O1ViNa14GPdq0IYUErFsUEJlBQUpIe0gSu/"
    "rqIAGgtxIwwJZ1jdWhTR5UOeYq9Ue+hGgAZeO9F2JbGUreIjSuWBDRxuHIx9u5dPnwFaTZezpXAGvwnnq9Zsf2s9YIxOTKeHAxzbuTs1ysiD0+Stv/"
    "QrlUm5D3vkZLDqSdWQ0O9EgYdFRKflvWn38zMX6B07VrudwNquKRxd9v3H/jSLQ==";

static const char signature_rsa2048_sha512[] =
    "PoP85X1HL0uTydzvxiSJrsfvVzQC15is1Ggo43ma3URNMrueu4i7qTrcQ+ID0s1dZUgDRZeXPmXRQHUlXWz/SVlW9nK/"
    "+eBLLoAr8YWm03R95gnkum+jL1Jpe+0afhmwLfk9G+Kg15ejb+rJ5/"
    "5lX83ZAuP+QllnAMecPqJfphWHcujRAQ2PA+E3sw1tn2ByRd5JD6xl+ZCa9m3H4M+"
    "te7AQKxplJNMwM5AqNDfLy6N2nSx2hRNUtOPUg9bLkL73ZdbDNJoV6K9TWZxU/"
    "diAfLmr2PUgkbEkpQdWbkMsaXR4j7u5LsZSHg834taiu6aO1H54l+Ruh721qoxVkONAKA==";

static const char signature_other_sha256[] =
    "MEUCIQCXo3oxoDUWs/Vh/KGi/zHi6X/TVF3QiCTCHM+ttjFkDwIgaBQmFhGBuPBcnx0zOKnHFZBxWVY+Whan5pI3jNKXB2o=";

static const char signature_rsa2048_pss_sha256[] =
    "Qrj77ppTQpo+S2eGxsZEUk9H7+1S64rcCftU8StfPAaiTjjOfrIXb33zDSAT0WU1jyg30gtBbdA42XmC+iByZbpH7UBRM/"
    "arR6juWbG2tdKb7IAMCXOAsAh1jPhWKicn7Di1BC0Q/WdgtOUv/6xmHLeDW9P2tq+EvttYSZnAuJI13oY8F3ZSoQYHuMCm7UuorAUgig/"
    "DJPf4wvUb0W174O5V3wlIu9a0gJbjzl0PfXvyGnyZWpl4ORAPJfz7Pz46ZVmkd5yOpyLVDvTOdWat4fjvdp6HIIyd0Clke+"
    "Cipf0uZg2alAoCTBz6uIFDTc8IzSPGjBmWprDopqFJE9quBQ==";

static const char signature_rsa2048_pss_sha512[] =
    "ELposX1++SL5q7GVsLY+8fVNKOohLSItcSPYLwn4wBOom7Rw9JstOfSziBSDbToFfq3XtYH5+"
    "nKO1RJCfFkz0KxxjHDXmdyYlbrK76ONgwCvwPetCPzkuj6Np51AvywA7oCIVTg1jkBeAH0YnbYl8/yNFBvTKILCLERlfL9bTIR4lA82AVvGoCzTY/"
    "g4p8Xb48lXjXkEdckxZvsnuoedmvc13hjvelnJQsiAwgrd7YGHj6pryK1u44ZTKKkE3IlwISdqQer/"
    "m2Pp7HAUetuz3c+h72os159Z1grwOTIwRdC0cQo9ZL2ZkGFBZMcIVIzXIOcjEy5Ouy3MxEszIBiBgQ==";

static const char signature_p256_sha1[] =
    "MEUCIQCrZ+BNDJ+uQuMC+CoJFzPtKz/MMighWSlx9D5TlbhN5QIgWlkmEFbrMGCNJQvkXXByTX43VKEFoZ4yGPsJnXqCj5c=";

static const char bundle_message[] =
    "{\"mediaType\":\"application/"
    "vnd.dev.sigstore.bundle.v0.3+json\",\"verificationMaterial\":{\"publicKey\":{\"hint\":\"x\"}},"
    "\"messageSignature\":{\"messageDigest\":{\"algorithm\":\"SHA2_256\",\"digest\":\"BbOr8leaXrZkA814vlV/2GBjOh/"
    "iEDx2QgMN7+MsZX8=\"},\"signature\":\"MEQCIEdwCw6zAfvSdOnFtGNLLyUcCHJlroTHcB3kOaVeA+"
    "T7AiA4iIisk5BG3YNTa9vFvTHEMFieO1wfTcDbZ7zIEIGlpg==\"}}";

static const char bundle_dsse[] =
    "{\"mediaType\":\"application/"
    "vnd.dev.sigstore.bundle+json;version=0.2\",\"verificationMaterial\":{\"publicKey\":{\"hint\":\"x\"}},"
    "\"dsseEnvelope\":{\"payload\":"
    "\"eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJuYW1lIjoiIiwiZGlnZXN0Ijp7InNoYTI1NiI6"
    "IjA1YjNhYmYyNTc5YTVlYjY2NDAzY2Q3OGJlNTU3ZmQ4NjA2MzNhMWZlMjEwM2M3NjQyMDMwZGVmZTMyYzY1N2YifX1dLCJwcmVkaWNhdGVUeXBlIj"
    "oiaHR0cHM6Ly9zaWdzdG9yZS5kZXYvY29zaWduL3NpZ24vdjEiLCJwcmVkaWNhdGUiOnt9fQ==\",\"payloadType\":\"application/"
    "vnd.in-toto+json\",\"signatures\":[{\"sig\":"
    "\"MEQCIGukuSud2fmzAWmE9KGCSvfvSOz0xFxBPlhpNrGu4YZrAiBp49euIu016kq58lazt/"
    "NzME3II3y61QxsTIQ8DZZWoA==\",\"keyid\":\"\"}]}}";

static const char bundle_dsse_rsa[] =
    "{\"mediaType\":\"application/"
    "vnd.dev.sigstore.bundle.v0.3+json\",\"verificationMaterial\":{\"publicKey\":{\"hint\":\"x\"}},\"dsseEnvelope\":{"
    "\"payload\":"
    "\"eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJuYW1lIjoiIiwiZGlnZXN0Ijp7InNoYTI1NiI6"
    "IjA1YjNhYmYyNTc5YTVlYjY2NDAzY2Q3OGJlNTU3ZmQ4NjA2MzNhMWZlMjEwM2M3NjQyMDMwZGVmZTMyYzY1N2YifX1dLCJwcmVkaWNhdGVUeXBlIj"
    "oiaHR0cHM6Ly9zaWdzdG9yZS5kZXYvY29zaWduL3NpZ24vdjEiLCJwcmVkaWNhdGUiOnt9fQ==\",\"payloadType\":\"application/"
    "vnd.in-toto+json\",\"signatures\":[{\"sig\":\"egkgiImNJ9FCdMfZyIaRdBFwWpWuIQACW8Og73GUk1OUfBCBpoPDPeZZ17lmb6+"
    "0xMVQzThlMZbIjiXtyxE3wzoUGPu8CdPAx7u/+iZZGZ7BFxqEtpAXUdTLhsda2/TBmH30BHNb/TlZhJX8RE/"
    "MA1Y4erNmuXpHbSUDRj+MtyxDF7z6aquL4cvy9IMHIsXdJp6rx1fJ/OvV9DTPUrBRNswRfiq+/6UxgaDS4v4cWeocvNOqx0PPh+d/"
    "Eo3dh1gdOnMtHbLRhaXD7CJAm+f08yM9+v3dWe/"
    "MiFidVcFGA4EfFXpRgsKMdopq07i4LnF39oxMz9yhgnwSmLTI2M3s6g==\",\"keyid\":\"\"}]}}";

static const char bundle_dsse_index[] =
    "{\"mediaType\":\"application/"
    "vnd.dev.sigstore.bundle.v0.3+json\",\"verificationMaterial\":{\"publicKey\":{\"hint\":\"x\"}},\"dsseEnvelope\":{"
    "\"payload\":"
    "\"eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJuYW1lIjoiIiwiZGlnZXN0Ijp7InNoYTI1NiI6"
    "IjFiYzA0YjUyOTFjMjZhNDZkOTE4MTM5MTM4Yjk5MmQyZGU5NzZkNjg1MWQwODkzYjA0NzZiODViZmJkZmM2ZTYifX1dLCJwcmVkaWNhdGVUeXBlIj"
    "oiaHR0cHM6Ly9zaWdzdG9yZS5kZXYvY29zaWduL3NpZ24vdjEiLCJwcmVkaWNhdGUiOnt9fQ==\",\"payloadType\":\"application/"
    "vnd.in-toto+json\",\"signatures\":[{\"sig\":\"MEUCIGMJeHKW4W5GViv0wg1s7TQ5wBbQ8+"
    "Z2jbUwTQX2No9CAiEAmVLeWFfYcRhLFRs867CaKX4PPlrMYe3GJY8betTM1qM=\",\"keyid\":\"\"}]}}";

static const char bundle_attestation[] =
    "{\"mediaType\":\"application/"
    "vnd.dev.sigstore.bundle.v0.3+json\",\"verificationMaterial\":{\"publicKey\":{\"hint\":\"x\"}},\"dsseEnvelope\":{"
    "\"payload\":"
    "\"eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJuYW1lIjoiIiwiZGlnZXN0Ijp7InNoYTI1NiI6"
    "IjA1YjNhYmYyNTc5YTVlYjY2NDAzY2Q3OGJlNTU3ZmQ4NjA2MzNhMWZlMjEwM2M3NjQyMDMwZGVmZTMyYzY1N2YifX1dLCJwcmVkaWNhdGVUeXBlIj"
    "oiaHR0cHM6Ly9zbHNhLmRldi9wcm92ZW5hbmNlL3YxIiwicHJlZGljYXRlIjp7fX0=\",\"payloadType\":\"application/"
    "vnd.in-toto+json\",\"signatures\":[{\"sig\":"
    "\"MEYCIQCA7BMJlpDM0xqqZHJVSUUfCPs1f9gDBUXFXDwvgMWW6gIhANCwbheVxxl8eqIWYTfcs/"
    "tuPo5nXWcTgST9OIWBiGY+\",\"keyid\":\"\"}]}}";

static const char bundle_keyless[] =
    "{\"mediaType\":\"application/"
    "vnd.dev.sigstore.bundle.v0.3+json\",\"verificationMaterial\":{\"certificate\":{\"rawBytes\":\"AAAA\"}},"
    "\"dsseEnvelope\":{\"payload\":"
    "\"eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJuYW1lIjoiIiwiZGlnZXN0Ijp7InNoYTI1NiI6"
    "IjA1YjNhYmYyNTc5YTVlYjY2NDAzY2Q3OGJlNTU3ZmQ4NjA2MzNhMWZlMjEwM2M3NjQyMDMwZGVmZTMyYzY1N2YifX1dLCJwcmVkaWNhdGVUeXBlIj"
    "oiaHR0cHM6Ly9zaWdzdG9yZS5kZXYvY29zaWduL3NpZ24vdjEiLCJwcmVkaWNhdGUiOnt9fQ==\",\"payloadType\":\"application/"
    "vnd.in-toto+json\",\"signatures\":[{\"sig\":\"MEYCIQDlsnZF9LjnZOESwtQXrLlp5p1SmnLfHf3u99tkncsNtgIhAK3Y+"
    "w06Tmty8ZOd9gttCzOyl4MVFusQinXLCEclwOTO\",\"keyid\":\"\"}]}}";

#endif
