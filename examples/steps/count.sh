# A step in a shell script: it counts the lines of a file. A dataflow names it with `programs: [count.sh]`.
printf '{"flow":1,"steps":[{"name":"count-lines","inputs":[{"name":"item","type":"item"}],"outputs":[{"name":"files","type":"files"}]}]}\n'
while read -r call; do
  number=$(printf '%s' "$call" | sed 's/^{"call":\([0-9]*\),.*/\1/')
  path=$(printf '%s' "$call" | sed 's/.*"path":"\([^"]*\)".*/\1/')
  mkdir -p out/files
  wc -l < "$path" | tr -d ' ' > out/files/lines.txt
  printf '{"call":%s,"outputs":{}}\n' "$number"
done
