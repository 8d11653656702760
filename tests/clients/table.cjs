// What the scripts of the JavaScript clients share: each call is a line of JSON, `{call, saw}`.

// Makes the function that makes one call; `refused` says what an error of that client tells.
exports.table = (refused) => async (call, make) => {
  let saw;
  try {
    saw = await make();
  } catch (error) {
    saw = { refused: refused(error) ?? String(error) };
  }
  console.log(JSON.stringify({ call, saw: saw === undefined ? null : saw }));
};
