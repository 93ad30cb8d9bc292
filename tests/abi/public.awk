# tests/abi/public.awk - lists what the public headers declare. Input: headers; -v want=functions, members or constants.
# Whole files are records: comments and preprocessor lines go first, then declarations are picked out.
BEGIN {
  RS = "\001"
}

function function_name(declaration) {
  sub(/\(.*/, "", declaration)
  sub(/^.*[ *]/, "", declaration)
  return declaration
}

function member_name(member) {
  if (match(member, /\(\*[a-z_0-9]+\)/))
    return substr(member, RSTART + 2, RLENGTH - 3)
  sub(/[ ]*$/, "", member)
  sub(/^.*[ *]/, "", member)
  return member
}

# "a, b" declares two members; commas inside the parentheses of a function pointer do not.
function print_members(type, member, names, count, i) {
  if (member ~ /\(/) {
    print type "." member_name(member)
    return
  }
  count = split(member, names, ",")
  for (i = 1; i <= count; i++)
    print type "." member_name(names[i])
}

function print_struct(text, type, members, count, i) {
  type = text
  sub(/^typedef struct /, "", type)
  sub(/ .*/, "", type)
  sub(/^[^{]*[{]/, "", text)
  sub(/[}].*/, "", text)
  count = split(text, members, ";")
  for (i = 1; i <= count; i++)
    if (members[i] ~ /[a-z]/)
      print_members(type, members[i])
}

{
  gsub(/\/\*([^*]|\*+[^*\/])*\*+\//, " ")
  gsub(/\n#[^\n]*/, "\n")
  gsub(/[ \t\r\n]+/, " ")
  text = $0
  while (want == "functions" && match(text, /IMGSTORE_API [^;]*;/)) {
    print function_name(substr(text, RSTART, RLENGTH - 1))
    text = substr(text, RSTART + RLENGTH)
  }
  while (want == "members" && match(text, /typedef struct imgstore_[a-z_0-9]+ [{][^}]*[}]/)) {
    body = substr(text, RSTART, RLENGTH)
    text = substr(text, RSTART + RLENGTH)
    print_struct(body)
  }
  while (want == "constants" && match(text, /enum [{][^}]*[}]/)) {
    body = substr(text, RSTART, RLENGTH)
    text = substr(text, RSTART + RLENGTH)
    while (match(body, /[{,] *IMGSTORE_[A-Z0-9_]+/)) {
      name = substr(body, RSTART, RLENGTH)
      body = substr(body, RSTART + RLENGTH)
      sub(/^[{,] */, "", name)
      print name
    }
  }
}
