SELECT next_seq($1, $2);
